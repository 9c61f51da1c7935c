from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from components.examples.reading import example_batches, example_records, map_ahead, split_files
from transform.errors import InputError


def test_batches_are_tensors_of_the_files_rows(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{name}.gz") for name in "ab"]
    for path, rows in zip(paths, ([b"1", b"2\0", b""], [b"4"]), strict=True):
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for row in rows:
                writer.write(row)
    batches = list(example_batches(paths, 2))
    assert [batch.dtype for batch in batches] == [tf.string] * 2
    assert [batch.numpy().tolist() for batch in batches] == [[b"1", b"2\0"], [b"", b"4"]]


@pytest.fixture(params=["local", "remote"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"ram://{tmp_path}"


def test_the_files_of_a_split_are_sorted(workspace: str) -> None:
    folder = f"{workspace}/[eu]/Split-train"
    tf.io.gfile.makedirs(folder)
    for name in ("b.gz", "a.gz"):
        with tf.io.TFRecordWriter(f"{folder}/{name}", "GZIP"):
            pass
    assert split_files(folder) == [f"{folder}/a.gz", f"{folder}/b.gz"]


@pytest.mark.parametrize("split", ["train", "missing"])
def test_a_split_without_a_file_is_refused(workspace: str, split: str) -> None:
    tf.io.gfile.makedirs(f"{workspace}/Split-train")
    folder = f"{workspace}/Split-{split}"
    with pytest.raises(InputError, match=f"^a split of examples must have a file. Received: none in {folder}$"):
        split_files(folder)


def test_a_file_without_a_byte_is_refused(workspace: str) -> None:
    """Ingestion and Transform write gzip's header and trailer even without a row."""
    folder = f"{workspace}/Split-train"
    tf.io.gfile.makedirs(folder)
    with tf.io.TFRecordWriter(f"{folder}/a.gz", "GZIP"):
        pass
    assert split_files(folder) == [f"{folder}/a.gz"]
    tf.io.write_file(f"{folder}/b.gz", "")
    with pytest.raises(InputError, match=f"must have bytes. Received: none in {folder}/b.gz$"):
        split_files(folder)


def test_one_result_is_computed_ahead_in_a_thread() -> None:
    second, computed, threads = threading.Event(), [], set()

    def squared(number: int) -> int:
        computed.append(number)
        threads.add(threading.current_thread())
        if number == 2:
            second.set()
        return number * number

    results = map_ahead(squared, iter([1, 2, 3]))
    assert next(results) == 1
    assert second.wait(timeout=60)  # nobody asked for it yet
    results.close()  # type: ignore[attr-defined]
    assert computed == [1, 2]
    assert threads.isdisjoint(threading.enumerate())  # it has ended


def test_an_error_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("no more")

    results = map_ahead(lambda number: -number, items())
    assert [next(results), next(results)] == [-1, -2]
    with pytest.raises(ValueError, match="no more"):
        next(results)


def test_no_items_have_no_results() -> None:
    assert list(map_ahead(str, [])) == []


def test_a_result_may_be_none() -> None:
    assert list(map_ahead(lambda number: None, [1, 2])) == [None, None]


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_remote_files_are_read(name: str) -> None:
    path = f"ram://test_example_files/{name}"
    with tf.io.TFRecordWriter(path, "GZIP" if path.endswith(".gz") else "") as writer:
        for row in (b"1", b"2" * 300_000):
            writer.write(row)
    assert list(example_records([path, path])) == [b"1", b"2" * 300_000] * 2


@pytest.mark.parametrize("name", ["missing", "missing.gz"])
def test_a_missing_remote_file_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="a TFRecord file must be readable"):
        list(example_records([f"ram://test_example_files/{name}"]))
