"""Fixtures and the time limit of every test."""

import os
import signal

import pytest

from support.weir import BINARY
from support.world import World


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): the test may take so long, not 30")
    config.addinivalue_line("markers", "rfc(section): whose rule the test proves")


def pytest_collection_modifyitems(items):
    if items and not os.access(BINARY, os.X_OK):
        raise pytest.UsageError(f"{BINARY} is not there: build it, or name it in WEIR")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails, with the place where it hung."""
    mark = item.get_closest_marker("seconds")
    seconds = mark.args[0] if mark else 30

    def too_long(*_):
        raise TimeoutError(f"the test took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
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
