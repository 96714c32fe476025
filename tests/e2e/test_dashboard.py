"""The dashboard's files as weir serves them. tests/browser opens them in a browser."""

import gzip
import os

import pytest

SOURCES = os.path.join(os.path.dirname(__file__), "../../proxy/dashboard")
BROWSER = ("Accept: text/html,*/*;q=0.8", "Accept-Encoding: gzip, br")


@pytest.mark.parametrize("name", ["dashboard.css", "dashboard.js", "charts.js", "figures.js", "recent.js"])
def test_a_file_is_its_source(world, name):
    _, weir = world.pair()
    answer = weir.admin_get(f"/{name}", *BROWSER)
    with open(os.path.join(SOURCES, name), "rb") as source:
        assert gzip.decompress(answer.body) == source.read()
    assert weir.admin_get(f"/{name}", *BROWSER, f"If-None-Match: {answer.get('ETag')}").status == 304


def test_the_page_is_for_browsers_and_follows_a_reload(world):
    _, weir = world.pair(admin_writable="true")
    page = weir.admin_get("/", *BROWSER)
    assert page.get("Content-Type") == "text/html; charset=utf-8"
    assert b"<title>weir</title>" in gzip.decompress(page.body)
    assert weir.admin_get("/", "Accept: */*").body.startswith(b"weir ")
    assert weir.command("set", "admin.dashboard=false").returncode == 0
    assert weir.admin_get("/", *BROWSER).body.startswith(b"weir ")
    assert weir.admin_get("/dashboard.js", *BROWSER).status == 404
