"""What cannot be read is not taken for something that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from components import storage


def test_what_is_not_there_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in ("nothing", "nothing/below", "file/below"):
        assert not storage.exists(str(tmp_path / path))
        assert storage.names(str(tmp_path / path)) == []
    assert storage.exists(str(tmp_path / "file"))
    assert storage.names(str(tmp_path)) == ["file"]


def test_a_link_exists_also_if_its_target_does_not(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert storage.exists(str(tmp_path / "link"))


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")  # the system gives up following it
    for look in (storage.names, storage.exists):
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            look(str(loop / "below"))
