"""Fixtures and the time limit of every test."""

import os
import signal

import pytest

from support.seed import SEED
from support.weir import BINARY
from support.world import World


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): the test may take so long, not 30")
    config.addinivalue_line("markers", "rfc(section): whose rule the test proves")
    config.addinivalue_line("markers", "race: the order of events is fixed or random: never run again")
    config.addinivalue_line("markers", "alone: it measures, and a crowd of tests beside it disturbs it")
    config.addinivalue_line("markers", "xdist_group(name): one worker runs all of them")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if items and not os.access(BINARY, os.X_OK):
        raise pytest.UsageError(f"{BINARY} is not there: build it, or name it in WEIR")
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=seconds_for, reverse=True)  # else a long one that begins last is waited for
    if config.pluginmanager.hasplugin("rerunfailures"):
        for item in items:
            if item.get_closest_marker("race"):
                item.add_marker(pytest.mark.flaky(reruns=0))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"WEIR_SEED={SEED}")


def seconds_for(item):
    mark = item.get_closest_marker("seconds")
    return mark.args[0] if mark else 30


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    signal.setitimer(signal.ITIMER_REAL, seconds_for(item))  # anew, when the test is run again


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails, with the place where it hung."""

    def too_long(*_):
        raise TimeoutError(f"the test took longer than {seconds_for(item)} s")

    before = signal.signal(signal.SIGALRM, too_long)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def world():
    world = World()
    yield world
    world.finish()
