"""bench/overload measures what it says: its schedules, its app and clients, and its figures."""

import contextlib
import os
import pathlib
import sys

import pytest

from support.heavy import FOLDER
from support.weir import BINARY

BENCH = pathlib.Path(__file__).resolve().parent.parent.parent / "bench"


@pytest.fixture(scope="module", autouse=True)
def modules():
    before = list(sys.path)
    sys.path[:0] = [str(BENCH / "overload"), str(BENCH)]
    yield
    sys.path[:] = before


def fate(begun=None, hold=0.1, status=200):
    from figures import Fate

    ended = None if begun is None else begun + hold
    return Fate(0.0, status, "-", ended, begun, begun, ended)


def test_each_request_of_a_schedule_has_its_fate(tmp_path):
    import play
    from scenarios import SCENARIOS

    play.CROWD = pathlib.Path(FOLDER) / "overload" / "crowd"
    cell = play.Cell("closers", 0.5, "adaptive", 1, 0.0625)  # 2 s
    with contextlib.ExitStack() as stack:
        stage = play.Stage(cell, pathlib.Path(os.path.abspath(BINARY)), tmp_path, stack)
        stage.begin()
        run = stage.end().run
    early = [(ask, fate) for ask, fate in run.pairs if ask.at < 1]
    assert len(early) > 20
    for ask, what in early:
        assert what.status == 200 and ask.at <= what.reached <= what.begun
        assert what.ended - what.begun >= ask.hold - 1e-5
        assert what.ended <= what.responded
    assert 1 <= run.most_inside() <= SCENARIOS["closers"].slots


def test_a_request_is_overtaken_if_one_that_came_later_began_first():
    from figures import Run
    from schedule import Ask

    asks = [Ask(at, 0.1) for at in (0.0, 0.1, 0.102, 0.2)]
    assert Run(asks, [fate(b) for b in (0.1, 0.2, 0.3, 0.4)], 1, 1).overtaken() == 0
    assert Run(asks, [fate(b) for b in (0.3, 0.2, 0.1, 0.4)], 1, 1).overtaken() == 1  # 2 ms is none
    assert Run(asks, [fate(b) for b in (0.5, 0.2, None, 0.4)], 1, 1).overtaken() == 1


def test_a_response_after_the_patience_is_no_goodput_and_its_handler_wasted():
    from figures import Run
    from schedule import Ask

    asks = [Ask(at, 0.1, 0.3, closes=False) for at in (0.0, 0.1, 0.2)]
    run = Run(asks, [fate(0.0), fate(0.5), fate(status=503)], 1, 1)
    assert run.goodput(0, 1, 10) == pytest.approx(100 / 3)
    assert run.wasted(0, 1) == 50
    assert run.begun_for_gone() == 1


def test_the_oracle_serves_in_order_those_that_can_be_done_in_time():
    from schedule import Ask, oracle

    asks = [Ask(0.0, 0.4, 0.5), Ask(0.0, 0.2, 0.5), Ask(0.0, 0.1, 0.5)]
    assert oracle(asks, 1) == pytest.approx([0.4, None, 0.5])


def test_a_part_of_a_page_is_replaced_and_the_others_stay(tmp_path):
    from page import part, replace

    path = tmp_path / "page.md"
    path.write_text("# Page\n\ntext\n")
    replace(path, "one", "first")
    replace(path, "two", "second")
    replace(path, "one", "third")
    assert part(path.read_text(), "one") == "<!-- one: begin -->\nthird\n<!-- one: end -->\n"
    assert path.read_text().startswith("# Page\n\ntext\n") and "second" in path.read_text()
