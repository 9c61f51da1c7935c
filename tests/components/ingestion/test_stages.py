"""Ingestion on batches of rows gives what that of release 0.2.0 gives, row by row, on logs that are not polite."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from components.ingestion.formats import lines as text_lines
from components.ingestion.stages import keys as key_stages
from components.ingestion.stages import read as read_stage
from components.ingestion.stages import scratch
from components.ingestion.stages.join import count_installs, unite_installs
from components.ingestion.stages.task import INSTALL_LOG
from tests.components.ingestion.logs import CATALOG, USERS, store_config, write_rows
from tests.components.ingestion.without_beam import Files, in_batches, row_by_row
from tests.drawn import so_many
from transform.config.config import Config

NAMES = ("impressions", "installs", "catalog", "users")
FORMATS = ("csv", "tsv", "jsonl", "parquet", "tfrecord")

#: Keys of which one is hot, and some are in no table.
USER_IDS = st.sampled_from(["u0"] * 6 + ["u1", "u2", "u3", "", " u1"])
APP_IDS = st.sampled_from(["a0"] * 4 + ["a1", "a2", "a3", "1:a"])
TIMES = st.one_of(st.integers(900, 1400), st.sampled_from([1000, 1000.5, -1, 4_000_000_000, 1100]))


@st.composite
def impressions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draws impressions of few ids, so that some occur twice."""
    rows = []
    for _ in range(draw(st.integers(1, 25))):
        number = draw(st.integers(0, 40))
        rows.append(
            {
                "impression": f"i{number}",
                "request": f"r{draw(st.integers(0, 6))}",
                "time": float(draw(TIMES)),
                "user": draw(USER_IDS),
                "app": draw(APP_IDS),
                "page": draw(st.sampled_from(["home", "home", "search", "é", "", None, "x" * 40])),
            }
        )
    return rows


@st.composite
def installs(draw: st.DrawFn) -> list[dict[str, Any]]:
    number = draw(st.integers(0, 12))
    return [{"user": draw(USER_IDS), "app": draw(APP_IDS), "at": float(draw(TIMES))} for _ in range(number)]


configs = st.fixed_dictionaries(
    {
        "reject": st.booleans(),
        "leave_out_unknown_labels": st.booleans(),
        "split_by": st.sampled_from(["request_hash", "impression_hash", "row_hash", "time", "time_fraction"]),
        "labels": st.sampled_from(["installs", "installs", "log", "log with label columns"]),
        "is_split": st.booleans(),
    }
)


def config_of(file_format: str, drawn: dict[str, Any]) -> Config:
    config = store_config(
        file_format,
        reject=drawn["reject"],
        leave_out_unknown_labels=drawn["leave_out_unknown_labels"],
        ingestion={"split_by": drawn["split_by"], "eval_fraction": 0.5, "eval_seconds": 90, "max_field_bytes": 30},
    )
    log = config.sources.impressions
    if drawn["is_split"]:
        log = dataclasses.replace(log, path=None, splits={"train": "a", "eval": "b"})
    sources = dataclasses.replace(config.sources, impressions=log)
    if drawn["labels"] != "installs":
        columns = ("user",) if "columns" in drawn["labels"] else ()
        log = dataclasses.replace(log, label="clicked", label_columns=columns, weight="weight")
        log = dataclasses.replace(log, randomized="drawn") if columns else dataclasses.replace(log, propensity="chance")
        sources = dataclasses.replace(sources, installs=None, impressions=log)
    return dataclasses.replace(config, sources=sources)


def write(folder: Path, config: Config, file_format: str, tables: dict[str, list[dict[str, Any]]]) -> Files:
    """Writes the sources, the impressions as two files; returns the files."""
    shutil.rmtree(folder, ignore_errors=True)
    files: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, rows in tables.items():
        if name == "installs" and config.sources.installs is None:
            continue
        (folder / name).mkdir(parents=True)
        half = len(rows) // 2 if name == "impressions" else len(rows)
        paths = []
        for part, some in enumerate([rows[:half], rows[half:]]):
            path = folder / name / f"part-{part}.{file_format}"
            if some:
                write_rows(path, file_format, some)
                paths.append(str(path))
        of_log = name == "impressions" and config.sources.impressions.splits is not None
        files[name] = {"train": tuple(paths[:1]), "eval": tuple(paths[1:])} if of_log else {"": tuple(paths)}
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stages")


DAMAGE = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from([b'"', b"\n", b"\r", b"\r\n", b",", b"\xff", b"\0", b'"a,b"', b"{", b"\t"])
    ),
    max_size=3,
)


@pytest.mark.parametrize(
    "file_format", [f if f in ("csv", "parquet") else pytest.param(f, marks=pytest.mark.slow) for f in FORMATS]
)
@settings(
    max_examples=so_many(30),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    rows=impressions(),
    shipped=installs(),
    drawn=configs,
    tables=st.sampled_from([(CATALOG, USERS), (CATALOG, USERS), ([], USERS), (CATALOG, [])]),
    damage=DAMAGE,
    sizes=st.sampled_from([(1, 1, 1), (3, 2, 3), (2, 3, 1_000_000)]),
)
def test_batches_give_what_rows_give(
    folder: Path,
    file_format: str,
    rows: list[dict[str, Any]],
    shipped: list[dict[str, Any]],
    drawn: dict[str, Any],
    tables: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    damage: list[tuple[float, bytes]],
    sizes: tuple[int, int, int],
) -> None:
    config = config_of(file_format, drawn)
    for number, row in enumerate(rows):
        if config.sources.installs is None:
            row |= {"clicked": float(number % 3 == 0), "weight": 0.5 + number % 2}
            row |= {"drawn": float(number % 2), "chance": 0.25 + 0.75 * (number % 2)}
    contents = dict(zip(NAMES, (rows, shipped, *tables), strict=True))
    files = write(folder / "data", config, file_format, contents)
    for path, (at, piece) in zip(
        itertools.cycle(itertools.chain(*files["impressions"].values())), damage, strict=False
    ):
        content = Path(path).read_bytes()
        cut = int(at * len(content))
        Path(path).write_bytes(content[:cut] + piece + content[cut:])
    num_key_buckets, num_shards, size = sizes
    shutil.rmtree(folder / "out", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "BLOCK_BYTES", size * 30)
        patch.setattr(read_stage, "PART_ROWS", size)
        patch.setattr(key_stages, "ROWS_AT_ONCE", size)
        found = in_batches(config, files, folder / "out", num_key_buckets, num_shards)
    expected = row_by_row(config, files).result
    assert found == expected
    event(f"an example: {bool(found.train or found.eval)}")
    event(f"a rejection: {bool(found.rejected)}")
    event(f"an unusable file: {bool(found.counts.unusable_files)}")


def test_without_an_impression_all_installs_are_without_one(tmp_path: Path) -> None:
    place = str(tmp_path / "installs")
    scratch.write_table(place, pa.table({"key": ["u0\0a0", "u1\0a0"], "time": [1.0, 2.0]}))
    for value in range(100):
        filled = [np.full(2, value, np.uint8) for _ in range(100)]
        del filled  # its memory is used again
        assert count_installs((INSTALL_LOG, place), unite_installs([])) == [(("install", "without_impression"), 2)]
