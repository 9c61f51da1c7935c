"""A store of two days, and a workspace in which the first day was run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import store


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-rows", action="store_true", help="every row of the table of bad days and bad models")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.simulate(tmp_path_factory.mktemp("store") / "data", days=2)


@pytest.fixture(scope="session")
def first_day(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The workspace, and the output of `wdr run`."""
    workspace = tmp_path_factory.mktemp("first_day")
    return workspace, store.wdr_ok(*store.run_arguments(data, workspace, 1))
