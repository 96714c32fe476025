"""The founding article's app, for real: FastAPI under Uvicorn behind weir."""

import importlib.util
import itertools
import json

import pytest

from support.bursts import BODIES, BURSTS, timed_burst
from support.uvicorn import serving

MISSING = [name for name in ("fastapi", "uvicorn") if not importlib.util.find_spec(name)]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.seconds(90),
]

APP = '''
import asyncio
import time
from fastapi import FastAPI

app = FastAPI()


@app.get("/produtos")
def listar_produtos():
    time.sleep(1)
    return {"produtos": ["Produto 1", "Produto 2"]}


@app.get("/usuarios")
async def listar_usuarios():
    await asyncio.sleep(1)
    return {"usuarios": ["Usuário 1", "Usuário 2"]}


@app.post("/eco")
async def eco(corpo: dict):
    return corpo


@app.get("/pronto")
async def pronto():
    return {}
'''


@pytest.fixture(scope="module")
def uvicorn(tmp_path_factory):
    """The port of the running app."""
    with serving(tmp_path_factory.mktemp("fastapi"), "loja", APP) as port:
        yield port


@pytest.mark.alone
@pytest.mark.parametrize("path, n, limit, least, most, alone", BURSTS)
def test_a_burst_takes_as_long_as_the_app_needs(world, uvicorn, path, n, limit, least, most, alone):
    weir = world.weir(f"127.0.0.1:{uvicorn}", concurrency=limit, queue_length=800)
    runs = timed_burst(weir, uvicorn, path, n, least, most, alone)
    for outcome in itertools.chain(*runs):
        assert json.loads(outcome.body.decode("utf-8")) == BODIES[path]
    world.expect_requests(weir, n * len(runs))


def test_utf8_bodies_pass_intact_both_ways(world, uvicorn):
    weir = world.weir(f"127.0.0.1:{uvicorn}")
    client = world.connect(weir)
    corpo = {"nome": "Conceição Ávila", "cidade": "São João del-Rei", "preço": "R$ 10,00", "☕": "café"}
    body = json.dumps(corpo, ensure_ascii=False).encode("utf-8")
    for _ in range(3):
        answer = client.ask("POST", "/eco", "Content-Type: application/json", body=body)
        assert answer.status == 200
        assert json.loads(answer.body.decode("utf-8")) == corpo
    answer = client.ask("GET", "/usuarios?nome=Jo%C3%A3o")
    assert "Usuário 1".encode() in answer.body
    assert answer.get("Content-Type") == "application/json"


def test_uvicorns_own_answers_pass(world, uvicorn):
    weir = world.weir(f"127.0.0.1:{uvicorn}")
    client = world.connect(weir)
    assert client.ask("GET", "/nada").status == 404
    assert client.ask("DELETE", "/produtos").status == 405
    assert client.ask("POST", "/eco", "Content-Type: application/json", body=b"{").status == 422
    assert client.ask("GET", "/pronto").status == 200
