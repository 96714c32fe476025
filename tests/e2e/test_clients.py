"""Real clients through weir: each does in its main modes what it does with the app alone.

A client that is not installed is skipped, by name. The app is the scripted origin where one request
is looked at, and the demo backend under load.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import threading

import pytest

from support import golang
from support import origin as app
from support import wire
from support.demo import Demo
from support.weir import clean_environment
from support.world import scaled

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


def needs(command):
    return pytest.mark.skipif(not shutil.which(command), reason=f"not installed: {command}")


def needs_module(name):
    missing = not importlib.util.find_spec(name)
    return pytest.mark.skipif(missing, reason=f"not installed: python3-{name}")


def run(*command, code=0, **how):
    """What the client printed, as bytes; it must end by itself, and well."""
    done = subprocess.run(
        command, capture_output=True, timeout=25, env=clean_environment(), check=False, **how
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, f"{command} ended with {done.returncode}: {said[-2000:]!r}"
    return done.stdout


async def echo(call):
    await call.send(wire.response(body=bytes(call.body)))


def script(origin):
    """What the clients' programs ask for by name."""
    origin.on("/echo", app.read_body(), echo)
    origin.on("/expect", app.send(CONTINUE), app.read_body(), echo)
    origin.on("/refuse", app.answer(b"no", 413))
    origin.on("/hints", app.send(HINTS * 2), app.answer(b"page"))
    origin.on("/head", app.answer(None, 200, "Content-Length: 1234"))
    origin.on("/204", app.read_body(), app.answer(None, 204))
    origin.on("/chunks", app.answer([b"chunk"] * 1000))
    origin.on("/until-close", app.send(b"HTTP/1.1 200 OK\r\n\r\nto the end"), app.close())
    head = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailing = head + wire.chunked([b"body"], ["X-Sum: 42"])
    origin.on("/trailers", app.read_body(), app.send(trailing))


@pytest.fixture
def pair(world):
    origin, weir = world.pair(concurrency=20)
    script(origin)
    origin.url = "http://127.0.0.1:%d" % weir.port
    return origin, weir


# ---- curl ----------------------------------------------------------------------------------------

curl = needs("curl")
WAITS = ("-H", "Expect: 100-continue", "--expect100-timeout", "60")


def run_curl(*arguments, **how):
    return run("curl", "-sS", "--max-time", "20", "--noproxy", "*", *arguments, **how)


@curl
def test_curl_keeps_its_connection(pair):
    origin, _ = pair
    urls = [f"{origin.url}/{i}" for i in range(5)]
    assert run_curl("-w", " %{http_code} %{num_connects}\n", *urls).splitlines() == (
        [b"ok 200 1"] + [b"ok 200 0"] * 4
    )


@curl
def test_curl_asks_many_at_once(pair):
    origin, weir = pair
    out = run_curl("-Z", "-w", "%{http_code}\n", "-o", os.devnull, f"{origin.url}/[1-50]")
    assert out.split() == [b"200"] * 50
    assert weir.wait_counted(50).total("weir_requests_total", code="200") == 50


@curl
def test_curl_uploads_chunks_from_a_pipe(pair):
    origin, _ = pair
    data = wire.noise(300_000)
    assert run_curl(*WAITS, "-T", "-", f"{origin.url}/expect", input=data) == data
    (call,) = origin.seen("/expect")
    assert call.get("Transfer-Encoding") == "chunked" and call.get("Content-Length") is None


@curl
def test_curl_waits_for_100_with_a_large_body(pair, tmp_path):
    origin, _ = pair
    file = tmp_path / "body"
    file.write_bytes(wire.noise(2_000_000))
    out = run_curl(*WAITS, "--data-binary", f"@{file}", f"{origin.url}/expect")
    assert out == file.read_bytes()
    assert origin.seen("/expect")[0].get("Expect") == "100-continue"


@curl
def test_curl_takes_a_refusal_in_place_of_100(pair, tmp_path):
    origin, _ = pair
    file = tmp_path / "body"
    file.write_bytes(bytes(2_000_000))
    out = run_curl(*WAITS, "-T", str(file), "-w", " %{http_code}", f"{origin.url}/refuse")
    assert out == b"no 413"


@curl
def test_curl_reads_an_early_answer_to_an_upload(pair, tmp_path):
    origin, _ = pair
    file = tmp_path / "body"
    file.write_bytes(bytes(200_000))
    out = run_curl("-H", "Expect:", "-T", str(file), "-w", " %{http_code}", f"{origin.url}/refuse")
    assert out == b"no 413"


@curl
def test_curl_asks_for_heads(pair):
    origin, _ = pair
    out = run_curl("-I", f"{origin.url}/head", "--next", "-sS", f"{origin.url}/")
    assert b"Content-Length: 1234\r\n" in out and out.endswith(b"\r\n\r\nok")


@curl
@pytest.mark.parametrize("path, body", [("/", b"ok"), ("/chunks", b"chunk" * 1000)])
def test_curl_speaks_http_10(pair, path, body):
    origin, _ = pair
    out = run_curl("--http1.0", "-i", f"{origin.url}{path}")
    assert b"Transfer-Encoding" not in out and out.endswith(b"\r\n\r\n" + body)


@curl
def test_curl_is_given_interim_answers_and_trailers(pair):
    origin, _ = pair
    out = run_curl("-i", f"{origin.url}/hints", f"{origin.url}/trailers")
    assert out.count(b"HTTP/1.1 103 Early Hints\r\n") == 2
    assert b"page" in out and b"body" in out and b"X-Sum: 42\r\n" in out


@curl
def test_curl_reads_to_the_end_of_the_connection(pair):
    origin, _ = pair
    assert run_curl(f"{origin.url}/until-close") == b"to the end"


@curl
def test_curl_uses_a_unix_socket(world):
    origin = world.origin(path=world.path("app.sock"))
    script(origin)
    path = world.path("weir.sock")
    world.weir(origin, listen=f"unix:{path}")
    data = wire.noise(100_000)
    how = ("--unix-socket", path, "-H", "Expect:", "-T", "-")
    assert run_curl(*how, "http://a.test/echo", input=data) == data
    assert origin.calls[0].get("Host") == "a.test"


# ---- load ----------------------------------------------------------------------------------------


@pytest.fixture
def loaded(world, tmp_path):
    """The demo backend behind weir."""
    demo = Demo(tmp_path)
    weir = world.weir(demo.upstream, concurrency=8, queue_length=1000)
    weir.url = "http://127.0.0.1:%d" % weir.port
    yield weir
    demo.stop()


def check_load(weir, n):
    m = weir.wait_counted(n)
    assert m.total("weir_requests_total", code="200", source="app") == n
    assert m.total("weir_requests_total") == n
    assert m.total("weir_requests_rejected_total") == 0


@needs("wrk")
def test_wrk(loaded):
    out = run("wrk", "-t", "1", "-c", "20", "-d", "1s", f"{loaded.url}/ping").decode()
    assert "Socket errors" not in out and "Non-2xx" not in out
    done = int(re.search(r"([0-9]+) requests in", out)[1])
    m = loaded.wait_counted(done)
    assert done > 0 and m.total("weir_requests_rejected_total") == 0
    answered = m.total("weir_requests_total", code="200", source="app")
    assert done <= answered <= done + 20  # what was under way when wrk had had enough
    assert m.total("weir_requests_total") <= done + 40


@needs("h2load")
@pytest.mark.parametrize("pipelined", [1, 4])
def test_h2load(loaded, pipelined):
    n = scaled(3000, least=300)
    arguments = ["--h1", "-n", str(n), "-c", "20", "-m", str(pipelined)]
    out = run("h2load", *arguments, f"{loaded.url}/ping").decode()
    assert f"{n} done, {n} succeeded, 0 failed, 0 errored, 0 timeout" in out
    assert f"status codes: {n} 2xx" in out
    check_load(loaded, n)


@needs("h2load")
def test_h2load_posts(loaded, tmp_path):
    file = tmp_path / "body"
    file.write_bytes(b"x" * 20_000)
    n = scaled(500, least=100)
    arguments = ["--h1", "-n", str(n), "-c", "10", "-d", str(file)]
    out = run("h2load", *arguments, f"{loaded.url}/echo").decode()
    assert f"{n} done, {n} succeeded, 0 failed, 0 errored, 0 timeout" in out
    check_load(loaded, n)


@needs("hey")
@pytest.mark.parametrize(
    "how", [[], ["-disable-keepalive"], ["-m", "HEAD"], ["-m", "POST", "-d", "hello"]]
)
def test_hey(loaded, how):
    n = scaled(1000, least=200)  # a multiple of the clients: else it does fewer
    path = "/echo" if "POST" in how else "/ping"
    out = run("hey", "-n", str(n), "-c", "20", *how, f"{loaded.url}{path}").decode()
    assert "Error distribution" not in out
    assert re.search(rf"\[200\]\s+{n} responses", out), out
    check_load(loaded, n)


# ---- Python --------------------------------------------------------------------------------------


@needs_module("requests")
def test_requests(pair):
    import requests

    origin, weir = pair
    origin.on("/moved", app.answer(b"", 302, "Location: /chunks"))
    with requests.Session() as session:
        session.trust_env = False
        for i in range(10):
            assert session.get(f"{origin.url}/{i}", timeout=10).content == b"ok"
        data = wire.noise(200_000)
        assert session.post(f"{origin.url}/echo", data=data, timeout=10).content == data
        pieces = wire.pieces(data)
        answer = session.put(f"{origin.url}/echo", data=iter(pieces), timeout=10)
        assert answer.content == data
        assert origin.seen("/echo")[1].get("Transfer-Encoding") == "chunked"
        assert session.post(f"{origin.url}/echo", json={"a": 1}, timeout=10).json() == {"a": 1}
        answer = session.head(f"{origin.url}/head", timeout=10)
        assert answer.headers["Content-Length"] == "1234" and answer.content == b""
        assert session.delete(f"{origin.url}/204", timeout=10).status_code == 204
        answer = session.get(f"{origin.url}/moved", timeout=10, stream=True)
        assert b"".join(answer.iter_content(100)) == b"chunk" * 1000
        assert session.options(f"{origin.url}/", timeout=10).status_code == 200
        pool = session.get_adapter(origin.url).poolmanager.connection_from_url(origin.url)
        assert pool.num_connections == 1, "one connection served all"
        assert session.get(f"{origin.url}/until-close", timeout=10).content == b"to the end"
        assert session.get(f"{origin.url}/", timeout=10).content == b"ok"
    weir.wait_quiet()


@needs_module("requests")
def test_requests_in_threads(pair):
    import requests

    origin, weir = pair
    good = []

    def work():
        with requests.Session() as session:
            session.trust_env = False
            for i in range(20):
                answer = session.post(f"{origin.url}/echo", data=b"%d" % i, timeout=10)
                good.append(answer.content == b"%d" % i)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert good == [True] * 200
    assert weir.wait_counted(200).total("weir_requests_total") == 200


@needs_module("httpx")
def test_httpx(pair):
    import httpx

    origin, _ = pair
    opened = []

    def trace(event, _):
        if event.endswith("connect_tcp.started"):
            opened.append(event)

    with httpx.Client(base_url=origin.url, trust_env=False, timeout=10) as client:
        for i in range(10):
            answer = client.get(f"/{i}", extensions={"trace": trace})
            assert answer.content == b"ok" and answer.http_version == "HTTP/1.1"
        assert len(opened) == 1
        data = wire.noise(200_000)
        assert client.post("/echo", content=data).content == data
        assert client.put("/echo", content=iter(wire.pieces(data))).content == data
        assert origin.seen("/echo")[1].get("Transfer-Encoding") == "chunked"
        assert client.head("/head").headers["Content-Length"] == "1234"
        assert client.delete("/204").status_code == 204
        assert client.get("/hints").content == b"page"
        with client.stream("GET", "/chunks") as answer:
            assert b"".join(answer.iter_bytes()) == b"chunk" * 1000
        assert client.get("/until-close").content == b"to the end"


@needs_module("httpx")
def test_httpx_on_its_loop(pair):
    import asyncio

    import httpx

    origin, weir = pair

    async def upload():
        for piece in wire.pieces(wire.noise(50_000)):
            yield piece

    async def work():
        async with httpx.AsyncClient(base_url=origin.url, trust_env=False, timeout=15) as client:
            answers = await asyncio.gather(*[client.get(f"/{i}") for i in range(100)])
            assert [answer.content for answer in answers] == [b"ok"] * 100
            answers = await asyncio.gather(
                *[client.post("/echo", content=upload()) for _ in range(20)]
            )
            assert [answer.content for answer in answers] == [wire.noise(50_000)] * 20

    asyncio.run(work())
    assert weir.wait_counted(120).total("weir_requests_total", code="200") == 120


@needs_module("httpx")
def test_httpx_uses_a_unix_socket(world):
    import httpx

    origin = world.origin()
    path = world.path("weir.sock")
    world.weir(origin, listen=f"unix:{path}")
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=10) as client:
        for _ in range(3):
            assert client.get("http://a.test/").content == b"ok"
    assert len(origin.used()) == 1


# ---- Node ----------------------------------------------------------------------------------------


def node_major():
    if not shutil.which("node"):
        return 0
    return int(run("node", "--version")[1:].split(b".")[0])


NODE = [
    "keep-alive",
    "parallel",
    "chunked-upload",
    "streamed-download",
    "bodyless",
    "expect",
    "trailers",
    "interim",
]


def check_what_the_app_saw(origin, mode):
    if mode == "chunked-upload":
        assert origin.calls[0].get("Transfer-Encoding") == "chunked"
    if mode == "expect":
        assert origin.calls[0].get("Expect") == "100-continue"
    if mode == "trailers":
        assert origin.calls[0].trailers == [("X-Up", "yes")]


@pytest.mark.skipif(node_major() < 18, reason="not installed: node, of version 18 or later")
@pytest.mark.parametrize("mode", NODE)
def test_node(pair, mode):
    origin, _ = pair
    assert run("node", os.path.join(HERE, "fetch.mjs"), mode, origin.url) == b"ok\n"
    check_what_the_app_saw(origin, mode)


# ---- Go ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def go_client():
    """The first time takes a minute."""
    return golang.built(os.path.join(HERE, "go"), "go-client")


GO = [
    "keep-alive",
    "parallel",
    "chunked-upload",
    "expect",
    "refused",
    "trailers",
    "interim",
    "bodyless",
]


@needs("go")
@pytest.mark.seconds(300)
@pytest.mark.parametrize("mode", GO)
def test_go(go_client, pair, mode):
    origin, _ = pair
    assert run(go_client, mode, origin.url) == b"ok\n"
    check_what_the_app_saw(origin, mode)


@needs("go")
@pytest.mark.seconds(300)
def test_go_uses_a_unix_socket(go_client, world):
    origin = world.origin()
    path = world.path("weir.sock")
    world.weir(origin, listen=f"unix:{path}")
    assert run(go_client, "keep-alive", f"unix:{path}") == b"ok\n"
