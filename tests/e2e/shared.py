"""The small store's first days, made once for all workers of a test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import store
from tests.once import made_once


def logs(factory: pytest.TempPathFactory) -> Path:
    """The logs of three days; a test that changes them takes a copy."""
    return made_once(factory, "store", lambda folder: store.simulate(folder, days=3))


def first_day(factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Runs the first day with `wdr run`.

    Returns:
      The workspace, and the command's output. A test that changes the workspace takes a copy: `store.copy_of`, or
      `own_copy_of` if it changes artifacts, too.
    """
    data = logs(factory)

    def run(folder: Path) -> None:
        (folder / "output").write_text(store.wdr_ok(*store.run_arguments(data, folder / "workspace", 1)))

    folder = made_once(factory, "first_day", run)
    return folder / "workspace", (folder / "output").read_text()
