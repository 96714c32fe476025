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
