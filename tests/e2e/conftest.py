"""A store of three days, and a workspace in which the first day was run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import shared


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-rows", action="store_true", help="every row of the table of bad days and bad models")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The logs, which all tests share; a test that changes them takes a copy."""
    return shared.logs(tmp_path_factory)


@pytest.fixture(scope="session")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The workspace, and the output of `wdr run`; a test that changes the workspace takes a copy."""
    return shared.first_day(tmp_path_factory)
