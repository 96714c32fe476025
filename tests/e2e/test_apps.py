"""Real servers behind weir: whom they take for the client, and what nobody may tell them.

A server that is not installed is skipped, by name.
"""

import importlib.util
import json
import os
import shutil
import sys

import pytest

from support import golang
from support.uvicorn import running
from support.weir import free_port

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps")

# What a front on a private address says, as ingress controllers and load balancers do together.
FRONT = [
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.test",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Ssl: on",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-Server: front",
    "X-Real-IP: 203.0.113.7",
    "Forwarded: for=203.0.113.7;proto=https;host=shop.test",
]
# What a client says who would like to be somebody else, somewhere else.
LIES = [
    *FRONT,
    "X-Forwarded-Prefix: /public",
    "X-Forwarded-User: root",
    "X-Forwarded-Protocol: ssl",
    "X_Forwarded_For: 203.0.113.7",
    "X_Forwarded_Proto: https",
    "X-Forwarded_Proto: https",
]
VARIABLES = [
    "SCRIPT_NAME: /public",
    "Path_Info: /public",
    "REMOTE_USER: root",
    "REMOTE_ADDR: 203.0.113.7",
    "WSGI.URL_SCHEME: https",
]
PATH = "/public/admin"


def gunicorn(port):
    command = [sys.executable, "-m", "gunicorn", "--chdir", HERE, "-b", f"127.0.0.1:{port}"]
    return [*command, "wsgi_app:app"]


def uvicorn(port):
    command = [sys.executable, "-m", "uvicorn", "--app-dir", HERE, "--host", "127.0.0.1"]
    return [*command, "--port", str(port), "asgi_app:app"]


def hypercorn(port):
    command = [sys.executable, "-m", "hypercorn", "-b", f"127.0.0.1:{port}"]
    return [*command, os.path.join(HERE, "asgi_app.py:app")]


def node(port):
    return ["node", os.path.join(HERE, "app.mjs"), str(port)]


def go(port):
    return [golang.built(os.path.join(HERE, "go"), "go-app"), str(port)]


SERVERS = [gunicorn, uvicorn, hypercorn, node, go]


def is_installed(server):
    return importlib.util.find_spec(server.__name__) or shutil.which(server.__name__)


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.__name__)
def app(request, tmp_path_factory):
    """Where one of the servers listens."""
    if not is_installed(request.param):
        pytest.skip(f"not installed: {request.param.__name__}")
    port = free_port()
    with running(request.param(port), port, tmp_path_factory.mktemp("app")):
        yield f"127.0.0.1:{port}"


def seen(world, weir, *fields):
    answer = world.connect(weir).ask("GET", PATH, *fields)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def as_it_is(**other):
    return {"path": PATH, "root": "", "scheme": "http", "client": "127.0.0.1", "user": "", **other}


# The first may have to be compiled. One worker runs them all: it starts each server once.
pytestmark = [pytest.mark.seconds(120), pytest.mark.xdist_group("apps")]


def test_behind_a_front_the_app_sees_the_client_and_its_scheme(world, app):
    behind = as_it_is(scheme="https", client="203.0.113.7")
    assert seen(world, world.weir(app), *FRONT) == behind


@pytest.mark.parametrize("lies", [LIES, VARIABLES], ids=["fields", "variables"])
def test_a_client_that_is_not_trusted_cannot_pass_for_another(world, app, lies):
    weir = world.weir(app, headers_trusted="10.0.0.0/8")
    for lie in lies:
        assert seen(world, weir, lie) == as_it_is(), lie
    assert seen(world, weir, *lies) == as_it_is()


def test_no_client_can_set_the_variables_of_cgi(world, app):
    """A trusted front passes on what its own client says."""
    assert seen(world, world.weir(app), *VARIABLES) == as_it_is()


def test_a_front_on_a_unix_socket_has_no_address_of_its_own(world, app):
    weir = world.weir(app, listen="unix:" + world.path("weir.sock"))
    assert seen(world, weir) == as_it_is()
    assert seen(world, weir, *FRONT) == as_it_is(scheme="https", client="203.0.113.7")


SCHEMES = ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl"]


@pytest.mark.parametrize("said", [SCHEMES[:1], SCHEMES[1:2], SCHEMES[2:], SCHEMES[:2], SCHEMES])
@pytest.mark.parametrize("app", [gunicorn], indirect=True)
def test_a_tls_front_is_not_contradicted(world, app, said):
    """Gunicorn answers 400 when two fields say different schemes."""
    assert seen(world, world.weir(app), *said) == as_it_is(scheme="https")
