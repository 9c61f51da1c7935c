"""A folder that the workers of a test run share is filled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.once import made_once


def test_a_folder_is_filled_once_and_again_only_after_a_failure(tmp_path_factory: pytest.TempPathFactory) -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(list(folder.iterdir()))
        (folder / "half").touch()
        if len(calls) == 1:
            raise ValueError("the first call fails")

    with pytest.raises(ValueError, match="the first call fails"):
        made_once(tmp_path_factory, "once", make)
    folders = {made_once(tmp_path_factory, "once", make) for _ in range(2)}
    assert calls == [[], []]  # the second call found nothing of the first
    (folder,) = folders
    assert (folder / "half").exists()
