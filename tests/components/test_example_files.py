from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from components.example_files import example_batches, map_ahead


def test_batches_are_tensors_of_the_files_rows(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{name}.gz") for name in "ab"]
    for path, rows in zip(paths, ([b"1", b"2\0", b""], [b"4"]), strict=True):
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for row in rows:
                writer.write(row)
    batches = list(example_batches(paths, 2))
    assert [batch.dtype for batch in batches] == [tf.string] * 2
    assert [batch.numpy().tolist() for batch in batches] == [[b"1", b"2\0"], [b"", b"4"]]


def test_one_result_is_computed_ahead_in_a_thread() -> None:
    here, second = threading.get_ident(), threading.Event()
    threads = set()

    def squared(number: int) -> int:
        threads.add(threading.get_ident())
        if number == 2:
            second.set()
        assert number < 3, "computed before it was due"
        return number * number

    results = map_ahead(squared, iter([1, 2, 3]))
    assert next(results) == 1
    assert second.wait(timeout=60)  # nobody asked for it yet
    results.close()  # type: ignore[attr-defined]
    assert here not in threads


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
