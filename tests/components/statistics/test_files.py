"""Statistics file by file: on workers as in one process, and counts that are merged."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from components.statistics.component import ColumnStatisticsExecutor
from components.statistics.computing import FileStatistics
from components.statistics.states import _Accumulator
from components.statistics.value_counts import ValueCounts
from pipeline.beam_options import make_beam_args
from tests.components.statistics.statistics_runs import example, run
from tests.components.transform_executor.random_examples import random_examples
from tests.components.transform_executor.transform_runs import examples
from tests.transform.small_config import small_config
from transform.config.beam import Beam


def refuse(*_: object) -> None:
    raise AssertionError("a file was read in this process")


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config()
    files: list[Iterable[bytes]] = [random_examples(config, 1, number, at) for at, number in enumerate((400, 0, 700))]
    raw = examples(tmp_path / "examples", 1, {"train": files, "eval": [random_examples(config, 1, 90, 9)]})

    def contents(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.pb")}

    expected = contents(Path(run(ColumnStatisticsExecutor, raw, tmp_path / "one").uri))
    assert len(expected) == 2
    monkeypatch.setattr(FileStatistics, "write_state", refuse)
    two = run(ColumnStatisticsExecutor, raw, tmp_path / "two", make_beam_args(Beam(num_workers=2)))
    assert contents(Path(two.uri)) == expected
    assert {path.name for path in Path(two.uri).iterdir()} == {"Split-train", "Split-eval"}


def texts(*values: str) -> pa.Array:
    return pa.array([value.encode() for value in values], pa.large_binary())


def counted(values: pa.Array, max_values: int) -> ValueCounts:
    counts = ValueCounts(max_values)
    counts.add(values)
    return counts


def test_counts_of_files_are_added() -> None:
    merged = ValueCounts(10)
    for values in (texts("a", "b", "a"), texts(), texts("b", "c", "b")):
        merged.add_state(counted(values, 10).state())
    assert merged.most_frequent(9) == [(b"b", 3), (b"a", 2), (b"c", 1)]
    assert (merged.num_distinct(), merged.is_exact()) == (3, True)


@pytest.mark.parametrize("sketched", [(True, False), (False, True), (True, True), (False, False)])
def test_distinct_values_of_files_are_known_where_some_counts_were_dropped(sketched: tuple[bool, bool]) -> None:
    """Files of 40 and 50 values, of which 10 are in both: 80 distinct ones, of which at most 20 or 64 are kept."""
    files = [texts(*(f"v{i}" for i in range(40))), texts(*(f"v{i}" for i in range(30, 80)))]
    merged = ValueCounts(64)
    for values, is_sketched in zip(files, sketched, strict=True):
        merged.add_state(counted(values, 20 if is_sketched else 64).state())
    assert (merged.num_distinct(), merged.is_exact()) == (80, False)


def test_a_state_cannot_name_a_function() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"accumulators of statistics alone. Received: builtins.print"):
        _Accumulator(io.BytesIO(pickle.dumps(print))).load()


def test_a_feature_of_two_types_in_two_files_is_an_error_with_a_file(tmp_path: Path) -> None:
    raw = examples(tmp_path / "examples", 1, {"train": [[example({"price": [1.5]})], [example({"price": [b"1"]})]]})
    with pytest.raises(ValueError, match=r"a feature of one type in all: .*price.*data_tfrecord-00001"):
        run(ColumnStatisticsExecutor, raw, tmp_path / "statistics")
