"""The tests run against an installed pycambium, never against the source tree."""

import os
import signal

import numpy as np
import pytest

# What a shell starts in the background ignores Control-C, and its children do, too. A handler is
# not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """What an installation was built without is skipped. Of a wheel (CAMBIUM_WHOLE) it fails."""
    try:
        return (yield)
    except RuntimeError as problem:
        if "this pycambium was built without" not in str(problem) or "CAMBIUM_WHOLE" in os.environ:
            raise
        pytest.skip(str(problem))
