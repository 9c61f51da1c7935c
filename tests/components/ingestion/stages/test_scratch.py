"""The Arrow files that ingestion's stages hand to each other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.io.localfilesystem import LocalFileSystem

from components.ingestion.stages import scratch


class CountingFile(io.FileIO):
    """A file that counts the bytes read of all such files."""

    num_bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size) or b""
        CountingFile.num_bytes_read += len(data)
        return data


class RemoteFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Local files under names that only Beam resolves, as it resolves those of an object store."""

    @classmethod
    def scheme(cls) -> str:
        return "counting"

    def open(self, path: str, *_: Any, **__: Any) -> CountingFile:
        return CountingFile(path.removeprefix("counting://"))


def test_of_a_remote_file_only_the_batch_is_read(tmp_path: Path) -> None:
    rows = pa.table({"key": pa.array([f"user-{i}" for i in range(20_000)]), "row": np.arange(20_000)})
    path = tmp_path / "rows"
    places = scratch.write_buckets(str(path), rows, np.arange(20_000) % 100, 100, (3, 1))
    assert [(bucket, place.order, place.batch) for bucket, place in places] == [(i, (3, 1), i) for i in range(100)]
    CountingFile.num_bytes_read = 0
    found = scratch.read(places[7][1]._replace(path=f"counting://{path}"))
    assert found["row"].to_pylist() == list(range(7, 20_000, 100))
    assert found == scratch.read(places[7][1])
    # Of 100 batches: one, and the file's table of contents.
    assert 0 < CountingFile.num_bytes_read < path.stat().st_size / 10


def test_a_file_that_is_written_again_stays_as_it_was_for_those_who_have_mapped_it(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    scratch.write_table(str(path), pa.table({"row": np.zeros(1_000, np.int64)}))
    mapped = scratch.read_table(str(path))
    scratch.write_table(str(path), pa.table({"row": np.ones(1_000, np.int64)}))
    assert set(mapped["row"].to_pylist()) == {0}
    assert set(scratch.read_table(str(path))["row"].to_pylist()) == {1}
    assert [file.name for file in tmp_path.iterdir()] == ["rows"]
