"""Garbage collection leaves out what the tests' imports have made; without slow tests, fewer examples are drawn."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from tests import drawn


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("markexpr") == "not slow":
        drawn.share = 1 / 3


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the collector from scanning imported modules again and again, 2.1 of 27 s of CPU of a pipeline's first day.

    While tests are collected, hardly anything but imports is done, and what they make stays in memory.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
