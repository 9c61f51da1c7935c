"""Counts of tokens and the order of a vocabulary; expected values in plain Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.transform_executor import token_counts
from components.transform_executor.token_counts import (
    EMPTY_VOCABULARY,
    NUM_RANGES,
    CountsFile,
    Pruning,
    TokenCounter,
    merge_files,
    merged,
    ordered,
)
from transform.errors import InputError


def hashes_of(tokens: Iterable[bytes]) -> np.ndarray:
    """A hash by which many tokens are equal."""
    return np.array([sum(token) % 7 * 10**18 for token in tokens], np.int64)


def add(counter: TokenCounter, batch: list[bytes]) -> None:
    distinct = Counter(batch)
    lengths = np.array([len(token) for token in distinct], np.int32)
    counter.add(b"".join(distinct), lengths, hashes_of(distinct), np.array(list(distinct.values()), np.int64))


def counted(folder: Path, *batches: list[bytes]) -> CountsFile:
    folder.mkdir()
    counter = TokenCounter(str(folder / "scratch"))
    for batch in batches:
        add(counter, batch)
    counter.write(str(folder / "counts"))
    assert [path.name for path in folder.iterdir()] == ["counts"]
    return CountsFile(str(folder / "counts"))


def whole(*files: CountsFile) -> pa.Table:
    return pa.concat_tables(merged(files))


def as_dict(table: pa.Table) -> dict[bytes, int]:
    return dict(zip(table["token"].to_pylist(), table["count"].to_pylist(), strict=True))


@pytest.mark.parametrize(("bytes_at_once", "max_files"), [(200, 64), (200, 3), (2600, 64), (1 << 26, 64)])
def test_counts_of_batches_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_at_once: int, max_files: int
) -> None:
    monkeypatch.setattr(token_counts, "_BYTES_AT_ONCE", bytes_at_once)  # writes many temporary files, some, and none
    monkeypatch.setattr(token_counts, "_MAX_FILES", max_files)
    rng = random.Random(1)
    tokens = [rng.randbytes(rng.choice([0, 1, 1, 2])) for _ in range(2000)]
    table = whole(counted(tmp_path / "a", *(tokens[i : i + 9] for i in range(0, len(tokens), 9))))
    assert as_dict(table) == Counter(tokens)
    pairs = list(zip(hashes_of(table["token"].to_pylist()).tolist(), table["token"].to_pylist(), strict=True))
    assert pairs == sorted(pairs)
    assert table["hash"].to_pylist() == [pair[0] for pair in pairs]


def test_temporary_files_are_written_once_there_are_many_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_counts, "_BYTES_AT_ONCE", 150)  # a batch of two tokens of a letter takes 58
    counter = TokenCounter(str(tmp_path / "scratch"))
    for _ in range(9):
        add(counter, [b"a", b"b"])
    assert not list(tmp_path.iterdir())
    add(counter, [b"c", b"d"])
    add(counter, [b"e", b"f"])
    assert [path.name for path in tmp_path.iterdir()] == ["scratch-0"]
    expected = {b"a": 9, b"b": 9, b"c": 1, b"d": 1, b"e": 1, b"f": 1}
    assert as_dict(whole(CountsFile(str(tmp_path / "scratch-0")))) == expected


def test_spans_are_merged_after_they_were_stored(tmp_path: Path) -> None:
    spans = [
        counted(tmp_path / "1", [b"a", b"b"], [b"a"]),
        counted(tmp_path / "2", [b"b", b"\xc3\x28"]),
        counted(tmp_path / "3"),
    ]
    parts = list(merged(spans))
    assert len(parts) == NUM_RANGES
    table = pa.concat_tables(parts)
    assert as_dict(table) == {b"a": 2, b"b": 2, b"\xc3\x28": 1}
    assert table.num_rows == 3


@pytest.mark.parametrize("max_files", [2, 3, 64])
def test_files_are_added_up_into_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_files: int) -> None:
    monkeypatch.setattr(token_counts, "_MAX_FILES", max_files)
    batches = [[b"a", b"b"], [b"b"], [], [b"\xff", b"a"], [b"c"], [b"a"], [b"b"]]
    paths = []
    for number, batch in enumerate(batches):
        counted(tmp_path / str(number), batch)
        paths.append(str(tmp_path / str(number) / "counts"))
    (tmp_path / "merged").mkdir()
    merge_files(paths, str(tmp_path / "merged" / "counts"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "merged" / "counts"]
    table = whole(CountsFile(str(tmp_path / "merged" / "counts")))
    assert as_dict(table) == {b"a": 3, b"b": 3, b"c": 1, b"\xff": 1}
    counted(tmp_path / "once", *batches)
    assert (tmp_path / "merged" / "counts").read_bytes() == (tmp_path / "once" / "counts").read_bytes()


def test_a_file_that_is_damaged_or_has_other_ranges_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(tmp_path / "a", [b"a"])
    path = tmp_path / "a" / "counts"
    with monkeypatch.context() as patched:
        patched.setattr(token_counts, "NUM_RANGES", NUM_RANGES // 2)
        with pytest.raises(InputError, match=rf"must have 32 ranges. Received: 64 \({path}\)"):
            CountsFile(str(path))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"a file of token counts must be readable. Received: .* \({path}\)"):
        CountsFile(str(path))


TOKENS = [b"a"] * 3 + [b"b"] * 3 + [b"c"] * 2 + [b"\xff"] * 2 + [b"d"]


@pytest.mark.parametrize(
    ("min_count", "max_size", "expected"),
    [
        (0, None, [b"b", b"a", b"\xff", b"c", b"d"]),
        (2, None, [b"b", b"a", b"\xff", b"c"]),
        (0, 3, [b"b", b"a", b"\xff"]),
        (3, 9, [b"b", b"a"]),
        (4, None, []),
        (4, 2, [EMPTY_VOCABULARY]),
    ],
)
def test_the_most_frequent_tokens_are_kept_and_of_equals_the_greatest(
    tmp_path: Path, min_count: int, max_size: int | None, expected: list[bytes]
) -> None:
    pruning = Pruning(min_count, max_size)
    frequent = [pruning.frequent(part) for part in merged([counted(tmp_path / "a", TOKENS)])]
    assert pruning.kept(frequent).to_pylist() == expected


@pytest.mark.parametrize(
    ("kept", "reserved", "expected"),
    [
        ([b"x", b"a", b"y"], [b"a", b"z"], [b"a", b"z", b"x", b"y"]),
        ([], [], [EMPTY_VOCABULARY]),
        ([], [b"a"], [b"a"]),
        ([EMPTY_VOCABULARY], [b"a"], [b"a", EMPTY_VOCABULARY]),
    ],
)
def test_reserved_tokens_come_first_and_once(kept: list[bytes], reserved: list[bytes], expected: list[bytes]) -> None:
    assert ordered(pa.array(kept, pa.large_binary()), reserved).to_pylist() == expected
