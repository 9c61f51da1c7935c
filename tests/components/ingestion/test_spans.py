"""The resolution of the span and the files that a run reads."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tfx.components.example_gen import utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2

from components.ingestion.spans import has_spans, resolve_span
from tests.transform.small_config import REMOVED, small_config
from transform.config.config import Config
from transform.errors import InputError, UnreadableError


def config_of(log: str, catalog: str = "apps.csv", *more: tuple[str, Any]) -> Config:
    return small_config(("sources.impressions.path", log), ("sources.tables.catalog.path", catalog), *more)


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,b\n")


SPANS = config_of("log/day-{SPAN}/part-*.csv", "catalog/day-{SPAN}.csv")
DATES = config_of("log/{YYYY}-{MM}-{DD}/*.csv", "catalog/{YYYY}-{MM}-{DD}.csv")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make(tmp_path, *(f"log/day-{d}/part-{p}.csv" for d in (1, 2, 10) for p in (1, 0)))
    make(tmp_path, *(f"catalog/day-{d}.csv" for d in (1, 2, 10, 11)))
    return tmp_path


def test_the_latest_span_is_the_highest_number(root: Path) -> None:
    found = resolve_span(SPANS, str(root))
    assert found.span == 10
    assert found.files == {
        "impressions": {"": (f"{root}/log/day-10/part-0.csv", f"{root}/log/day-10/part-1.csv")},
        "catalog": {"": (f"{root}/catalog/day-10.csv",)},
    }


def test_a_span_can_be_given(root: Path) -> None:
    found = resolve_span(SPANS, str(root), 2)
    assert (found.span, found.files["catalog"]) == (2, {"": (f"{root}/catalog/day-2.csv",)})


def test_a_span_that_is_not_there_is_told(root: Path) -> None:
    with pytest.raises(InputError) as caught:
        resolve_span(SPANS, str(root), 3)
    assert str(caught.value) == (
        f"there are no impressions for span 3; the latest are of span 10 ({root}/log/day-{{SPAN}}/part-*.csv)"
    )


def test_a_table_that_lacks_the_span_is_told(root: Path) -> None:
    (root / "catalog/day-10.csv").unlink()
    with pytest.raises(InputError) as caught:
        resolve_span(SPANS, str(root))
    assert str(caught.value) == f"the source `catalog` has no file ({root}/catalog/day-10.csv)"


def test_no_span_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        resolve_span(SPANS, str(tmp_path))
    assert str(caught.value) == f"there are no impressions for any span ({tmp_path}/log/day-{{SPAN}}/part-*.csv)"


def test_a_date_is_the_days_since_1970(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(
            f"{d}/{day}{end}"
            for day in ("2026-01-31", "2026-02-01")
            for d, end in (("log", "/x.csv"), ("catalog", ".csv"))
        ),
    )
    # 2026-02-01: 56 years of 365 days, 14 leap days (1972 … 2024), January.
    latest = 56 * 365 + 14 + 31
    assert resolve_span(DATES, str(tmp_path)).span == latest
    assert resolve_span(DATES, str(tmp_path), latest - 1).files == {
        "impressions": {"": (f"{tmp_path}/log/2026-01-31/x.csv",)},
        "catalog": {"": (f"{tmp_path}/catalog/2026-01-31.csv",)},
    }


def test_a_log_without_spans_is_span_0(tmp_path: Path) -> None:
    make(tmp_path, "log.csv", "apps.csv")
    config = config_of("log.csv")
    assert resolve_span(config, str(tmp_path)).span == 0
    assert not has_spans(config)
    with pytest.raises(InputError) as caught:
        resolve_span(config, str(tmp_path), 4)
    assert str(caught.value) == "a span was asked for (4), but the impressions' path names none (log.csv)"


def test_a_log_that_is_split_has_the_files_of_each_split(tmp_path: Path) -> None:
    make(tmp_path, "t-5.csv", "t-6.csv", "e-6.csv", "apps.csv")
    splits = ("sources.impressions.splits", {"train": "t-{SPAN}.csv", "eval": "e-{SPAN}.csv"})
    config = config_of("", "apps.csv", ("sources.impressions.path", REMOVED), splits)
    assert has_spans(config)
    found = resolve_span(config, str(tmp_path))
    assert found.span == 6
    assert found.files["impressions"] == {"eval": (f"{tmp_path}/e-6.csv",), "train": (f"{tmp_path}/t-6.csv",)}


def test_a_split_without_a_file_is_told(tmp_path: Path) -> None:
    make(tmp_path, "t.csv", "apps.csv")
    splits = ("sources.impressions.splits", {"train": "t.csv", "eval": "e.csv"})
    config = config_of("", "apps.csv", ("sources.impressions.path", REMOVED), splits)
    with pytest.raises(InputError, match=re.escape(f"the source `impressions` has no file ({tmp_path}/e.csv)")):
        resolve_span(config, str(tmp_path))


@pytest.mark.parametrize("held_out", ["log/eval.csv", "log/./eval.csv"])
def test_a_file_in_both_splits_is_told(tmp_path: Path, held_out: str) -> None:
    make(tmp_path, "log/train.csv", "log/eval.csv", "apps.csv")
    splits = ("sources.impressions.splits", {"train": "log/*.csv", "eval": held_out})
    with pytest.raises(InputError) as caught:
        resolve_span(config_of("", "apps.csv", ("sources.impressions.path", REMOVED), splits), str(tmp_path))
    assert str(caught.value) == (
        f"`impressions.splits`: a file must be in one split. Received: {tmp_path}/{held_out} in train and eval"
    )


def test_only_one_split_may_name_the_span(tmp_path: Path) -> None:
    make(tmp_path, "t.csv", "e-3.csv", "e-4.csv", "apps.csv")
    splits = ("sources.impressions.splits", {"train": "t.csv", "eval": "e-{SPAN}.csv"})
    found = resolve_span(config_of("", "apps.csv", ("sources.impressions.path", REMOVED), splits), str(tmp_path))
    assert (found.span, found.files["impressions"]["eval"]) == (4, (f"{tmp_path}/e-4.csv",))


@pytest.mark.parametrize("pattern", ["{SPAN}/{YYYY}/x.csv", "{YYYY}/x.csv", "{SPAN}/{SPAN}/x.csv"])
def test_a_path_with_half_a_date_or_two_spans_is_told(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=re.escape("a path names the span as {SPAN}, or a date as {YYYY} {MM} {DD}:")):
        resolve_span(config_of(pattern), str(tmp_path))


def test_a_version_in_a_path_is_told(tmp_path: Path) -> None:
    make(tmp_path, "1/2/x.csv")
    with pytest.raises(InputError, match=re.escape("{VERSION} is not supported in a source's path")):
        resolve_span(config_of("{SPAN}/{VERSION}/x.csv"), str(tmp_path))


def test_a_folder_that_cannot_be_listed_is_not_one_without_files(tmp_path: Path) -> None:
    make(tmp_path, "log/day-1/hour-0/part-0.csv", "log/day-2/hour-0/part-0.csv", "apps.csv")
    config = config_of("log/day-{SPAN}/hour-*/part-*.csv")
    hour = tmp_path / "log" / "day-2" / "hour-1"
    hour.symlink_to("nowhere")  # as one that was removed, it has no files
    assert resolve_span(config, str(tmp_path), 2).files["impressions"] == {
        "": (f"{tmp_path}/log/day-2/hour-0/part-0.csv",)
    }
    hour.unlink()
    hour.symlink_to("hour-1")  # the system gives up following it
    for span in (2, None):
        with pytest.raises(UnreadableError, match="cannot be read now: Too many levels of symbolic links"):
            resolve_span(config, str(tmp_path), span)
    assert resolve_span(config, str(tmp_path), 1).span == 1


def test_a_file_whose_status_cannot_be_read_is_not_a_missing_one(root: Path) -> None:
    path = root / "log" / "day-10" / "part-0.csv"
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(InputError, match="it is a link to nothing, or went away"):
        resolve_span(SPANS, str(root))
    path.unlink()
    path.symlink_to("part-0.csv")  # the system gives up following it
    with pytest.raises(UnreadableError, match="the file cannot be read now: Too many levels of symbolic links; "):
        resolve_span(SPANS, str(root))


def test_installs_are_found_too(root: Path) -> None:
    make(root, "installs/10.csv")
    config = config_of(
        "log/day-{SPAN}/part-*.csv",
        "catalog/day-{SPAN}.csv",
        ("sources.impressions.label", REMOVED),
        ("sources.impressions.timestamp", "t"),
        ("sources.installs", {"path": "installs/{SPAN}.csv", "format": "csv"}),
    )
    assert resolve_span(config, str(root)).files["installs"] == {"": (f"{root}/installs/10.csv",)}


def test_the_fingerprint_changes_with_the_files(root: Path) -> None:
    before = resolve_span(SPANS, str(root))
    assert resolve_span(SPANS, str(root)) == before
    path = root / "log/day-10/part-0.csv"
    seconds = path.stat().st_mtime + 5
    os.utime(path, (seconds, seconds))
    rewritten = resolve_span(SPANS, str(root))
    path.write_text("a,b\n1,2\n")
    os.utime(path, (seconds, seconds))
    longer = resolve_span(SPANS, str(root))
    make(root, "log/day-10/part-2.csv")
    added = resolve_span(SPANS, str(root))
    assert len({f.fingerprint for f in (before, rewritten, longer, added)}) == 4
    make(root, "log/day-2/part-7.csv")
    assert resolve_span(SPANS, str(root)) == dataclasses.replace(added)


@pytest.mark.parametrize("pattern", ["day-{SPAN:0}.csv", "day-{SPAN:x}.csv", "{YYYY:2}/{MM}/{DD}.csv", "{MM}.csv"])
def test_a_width_that_is_no_number_of_digits_is_told(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=re.escape("and {SPAN:2} for a number of two digits. Received: " + pattern)):
        resolve_span(config_of(pattern), str(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("day-{SPAN}.csv", "day-x.csv"),
        ("day-{SPAN}.csv", "day-+1.csv"),
        ("day-{SPAN:2}.csv", "day-123.csv"),
        ("{YYYY}-{MM}-{DD}.csv", "2026-02-31.csv"),
        ("{YYYY}-{MM}-{DD}.csv", "2026-1-5.csv"),
    ],
)
def test_a_path_without_a_valid_span_is_told(tmp_path: Path, pattern: str, name: str) -> None:
    make(tmp_path, name)
    with pytest.raises(InputError) as caught:
        resolve_span(config_of(pattern), str(tmp_path))
    received = f"{tmp_path}/{name} ({tmp_path}/{pattern})"
    assert str(caught.value) == f"a span must be a number, or a date that exists. Received: {received}"


@pytest.mark.parametrize("span", [100, 10**12])
def test_a_span_that_its_path_cannot_name_has_no_impressions(tmp_path: Path, span: int) -> None:
    make(tmp_path, "day-07.csv", "on-1970-01-03.csv", "apps.csv")
    for pattern, latest in (("day-{SPAN:2}.csv", 7), ("on-{YYYY}-{MM}-{DD}.csv", 2)):
        with pytest.raises(InputError, match=f"no impressions for span {span}; the latest are of span {latest} "):
            resolve_span(config_of(pattern), str(tmp_path), span)


def test_a_data_folder_may_have_wildcards_in_its_name(tmp_path: Path) -> None:
    root = tmp_path / "logs [1]*"
    make(root, "day-3/.part.csv", "day-3/a-b.csv", "apps.csv")
    found = resolve_span(config_of("day-{SPAN}/*[!x].csv"), str(root))
    assert (found.span, found.files["impressions"][""]) == (
        3,
        (f"{root}/day-3/.part.csv", f"{root}/day-3/a-b.csv"),
    )


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("day-{SPAN}/*.csv", ("day-1/a.csv", "day-20/b.csv", "day-3/c.csv")),
        ("day-{SPAN:2}*.csv", ("day-01-x.csv", "day-02-y.csv")),
        ("?-{YYYY}{MM}{DD}", ("a-20260131", "a-20260201")),
        ("{YYYY}/{MM}/{DD}/[ab].csv", ("2026/12/31/a.csv", "2027/01/01/b.csv")),
        ("a.b+({SPAN}).csv", ("a.b+(7).csv", "axb+(8).csv")),
    ],
)
def test_spans_are_those_of_tfx(tmp_path: Path, pattern: str, names: tuple[str, ...]) -> None:
    """The rules of a path are those of TFX's ExampleGens, of which these are the latest span and its files."""
    make(tmp_path, "apps.csv", *names)
    found = resolve_span(config_of(pattern), str(tmp_path))
    split = example_gen_pb2.Input.Split(name="all", pattern=pattern)
    _, span, _ = utils.calculate_splits_fingerprint_span_and_version(str(tmp_path), [split])
    assert found.span == span
    assert found.files["impressions"][""] == tuple(sorted(fileio.glob(str(tmp_path / split.pattern))))


def test_a_table_that_all_spans_share_is_not_part_of_a_span_s_own_fingerprint(root: Path) -> None:
    make(root, "apps.csv", "log.csv")
    shared = config_of("log/day-{SPAN}/part-*.csv", "apps.csv")
    before = resolve_span(shared, str(root), 2)
    (root / "apps.csv").write_text("another\n")
    after = resolve_span(shared, str(root), 2)
    assert before.fingerprint != after.fingerprint
    assert before.span_fingerprint == after.span_fingerprint
    (root / "log" / "day-2" / "part-0.csv").write_text("another\n")
    assert resolve_span(shared, str(root), 2).span_fingerprint != after.span_fingerprint

    def fingerprints(config: Config) -> tuple[str, str]:
        found = resolve_span(config, str(root))
        return found.fingerprint, found.span_fingerprint

    for config in (SPANS, config_of("log.csv", "apps.csv")):  # each table is of the span; there are no spans
        whole, of_span = fingerprints(config)
        assert whole == of_span
