"""ImpressionExampleGen's executor on the same logs in every format, with good and bad rows."""

from __future__ import annotations

import gzip
import hashlib
import traceback
from pathlib import Path
from typing import Any

import pytest
from apache_beam.pvalue import TaggedOutput

from components.ingestion import transforms
from components.ingestion.counts import Counts, LineCounts
from components.ingestion.evidence import InstallEvidence, LabelCount
from components.ingestion.formats.readers import unit_of
from components.ingestion.stages import keys as key_stages
from components.ingestion.stages.read import ReadFiles
from components.ingestion.stages.task import COUNTED, REJECTED, Task
from pipeline.beam_options import make_beam_args
from pipeline.errors import sentence
from pipeline.outages import outage
from pipeline.workspace import Workspace
from tests.components.ingestion.expected import PRICES, expected_examples
from tests.components.ingestion.ingested import Ingested, ingest
from tests.components.ingestion.logs import (
    GOOD,
    IMPRESSIONS,
    INSTALLS,
    REASONS,
    impression,
    store_config,
    write_rows,
    write_store,
)
from tests.contents import contents
from tests.prism import worker_pool
from transform.config.beam import Beam
from transform.errors import UnreadableError
from transform.example_keys import IMPRESSION_ID

FORMATS = [
    ("csv", ""),
    pytest.param(("csv", ".gz"), marks=pytest.mark.slow),
    pytest.param(("tsv", ""), marks=pytest.mark.slow),
    ("jsonl", ".gz"),
    ("parquet", ""),
    ("tfrecord", ".gz"),
]


@pytest.fixture(scope="module", params=FORMATS, ids="".join)
def ingested(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ingested, Path]:
    file_format, suffix = request.param
    folder = tmp_path_factory.mktemp("ingested")
    write_store(folder / "data", file_format, suffix)
    config = store_config(file_format, suffix)
    return ingest(config, folder / "data", folder / "out"), folder / "data"


def test_every_format_gives_the_same_examples(ingested: tuple[Ingested, Path]) -> None:
    result, _ = ingested
    found = {split: {e["impression_id"][0]: e for e in examples} for split, examples in result.examples.items()}
    assert found == expected_examples()
    assert {split: len(examples) for split, examples in result.examples.items()} == {
        split: len(examples) for split, examples in found.items()
    }


def test_every_row_read_is_an_example_or_in_the_quarantine(ingested: tuple[Ingested, Path]) -> None:
    result, _ = ingested
    in_quarantine = [r for r in result.rejected if r["source"] == "impressions"]
    num_examples = sum(len(examples) for examples in result.examples.values())
    assert result.counts.read["impressions"] == len(IMPRESSIONS) == num_examples + len(in_quarantine)
    assert result.counts.num_examples == {split: len(examples) for split, examples in result.examples.items()}


def test_the_room_on_the_disk_is_that_of_the_outputs_and_of_temporary_files(ingested: tuple[Ingested, Path]) -> None:
    result, data = ingested
    outputs = [path for path in (data.parent / "out").rglob("*") if path.is_file()]
    assert result.disk_bytes > sum(path.stat().st_blocks * 512 for path in outputs) > 0


def test_every_format_gives_the_same_counts(ingested: tuple[Ingested, Path]) -> None:
    result, data = ingested
    labels: dict[str, dict[str, int]] = {"train": {}, "eval": {}}
    for split, examples in expected_examples().items():
        for example in examples.values():
            label = str(example["label"][0])
            labels[split][label] = labels[split].get(label, 0) + 1
    assert result.counts == Counts(
        span=0,
        read={"impressions": 45, "installs": 12, "catalog": 4, "users": 3},
        rejected={
            "impressions": {"missing_value": 2, "bad_type": 1, "duplicate_impression_id": 1, "too_long": 1},
            "catalog": {"duplicate_key": 1},
        },
        lines=expected_lines(data),
        labels=labels,
        unmatched={"catalog": 16, "users": 10},  # 2 of 5 apps are not in the catalog, 1 of 4 users not in the table
        unusable_files=(),
    )
    assert result.unfit == ""


def infer_format(data: Path) -> str:
    (path,) = (data / "installs").iterdir()
    return path.name.split(".")[1]


def expected_lines(data: Path) -> dict[str, LineCounts]:
    """Returns the line counts of a text format, as written by `write_store`: impressions have two files, others one."""
    rows = {"impressions": (2, 45), "installs": (1, 12), "catalog": (1, 4), "users": (1, 3)}
    match infer_format(data):
        case "csv" | "tsv":
            return {name: LineCounts(files + n, files, 0, n, 0) for name, (files, n) in rows.items()}
        case "jsonl":
            return {name: LineCounts(n, 0, 0, n, 0) for name, (_, n) in rows.items()}
    return {}


def test_each_rejected_row_is_kept_with_its_place_reason_and_text(ingested: tuple[Ingested, Path]) -> None:
    result, data = ingested
    rejected = result.rejected
    assert [set(r) for r in rejected] == [{"source", "file", "line", "reason", "detail", "text"}] * 6
    assert [r["source"] for r in rejected] == ["catalog"] + ["impressions"] * 5
    # The log's second file has rows 21 to 45 of the log; the bad rows are its last five. A header is line 1.
    unit = unit_of(infer_format(data))
    header = int(infer_format(data) in ("csv", "tsv"))
    assert [Path(r["file"]).parent for r in rejected] == [data / "catalog"] + [data / "impressions"] * 5
    assert {Path(r["file"]).name.split(".")[0] for r in rejected[1:]} == {"part-1"}
    assert [(r["line"], r["reason"]) for r in rejected[1:]] == list(
        zip(range(header + GOOD // 2 + 1, header + GOOD // 2 + 6), REASONS, strict=True)
    )
    assert (rejected[0]["line"], rejected[0]["reason"]) == (header + 4, "duplicate_key")
    for row, marker in zip(rejected[1:4], ("i100", "i101", "i102"), strict=True):
        assert marker in row["text"]
    assert rejected[4]["detail"] == (
        f"`impression` must be unique. Received 'i3' again; first in {unit} {header + 4} of "
        f"{rejected[4]['file'].replace('part-1', 'part-0')}"
    )
    assert "xxx" in rejected[5]["text"]
    assert len(rejected[5]["text"]) <= 65_536


def test_the_catalog_is_kept_with_the_examples(ingested: tuple[Ingested, Path]) -> None:
    result, _ = ingested
    expected = {
        key: {"table_key": [key], "title": [row["title"]]} | ({} if row["price"] is None else {"price": [row["price"]]})
        for key, row in PRICES.items()
    }
    # `app` is a feature of the impressions, not of the catalog.
    assert {row["table_key"][0]: row for row in result.catalog} == expected
    assert len(result.catalog) == 3


def test_every_format_gives_the_same_evidence(ingested: tuple[Ingested, Path]) -> None:
    result, data = ingested
    evidence = result.evidence
    rows = {"impressions": [20, GOOD // 2 + 1], "installs": [12], "catalog": [4], "users": [3]}
    paths = sorted((name, str(path)) for name in rows for path in (data / name).iterdir())
    assert [(f.source, f.path) for f in evidence.files] == paths
    # The row with a duplicate id is rejected not when it is read, but after a later GroupByKey.
    assert [f.num_rows for f in evidence.files] == [n for name in sorted(rows) for n in rows[name]]
    opened = [gzip.open if path.endswith(".gz") and infer_format(data) != "tfrecord" else open for _, path in paths]
    contents = [open_path(path, "rb").read() for open_path, (_, path) in zip(opened, paths, strict=True)]
    if infer_format(data) != "tfrecord":
        assert [f.sha256 for f in evidence.files] == [hashlib.sha256(content).hexdigest() for content in contents]

    assert {name: (t.matched, t.unmatched) for name, t in evidence.tables.items()} == {
        "catalog": (GOOD - 16, 16),
        "users": (GOOD - 10, 10),
    }
    assert evidence.tables["catalog"].columns == ("price", "title")
    assert len(evidence.tables["catalog"].keys) == 3
    good = [e for examples in expected_examples().values() for e in examples.values()]
    assert evidence.labels == LabelCount(len(good) - labelled(good), labelled(good))
    assert evidence.labels_by_hour == {0: evidence.labels}  # 1000 to 1390 seconds
    # For each install: is there an impression of its user and app, and one at most 100 seconds before it?
    kinds: dict[str, int] = {}
    for install in INSTALLS:
        shown = [r["time"] for r in IMPRESSIONS[:GOOD] if (r["user"], r["app"]) == (install["user"], install["app"])]
        in_time = any(time <= install["at"] <= time + 100 for time in shown)
        kind = "attributed" if in_time else "outside_window" if shown else "without_impression"
        kinds[kind] = kinds.get(kind, 0) + 1
    assert evidence.installs == InstallEvidence(**kinds)
    log = evidence.logs["impressions"]
    assert log.rows_by_hour == {0: GOOD + 1}
    assert (log.time_quantiles[0], log.time_quantiles[3], log.time_quantiles[-1]) == (1000.0, 1190.0, 1390.0)


def labelled(examples: list[dict[str, list[Any]]]) -> int:
    return sum(example["label"][0] for example in examples)


def test_a_table_of_items_is_kept_without_broadcast_too_and_one_of_users_is_not(tmp_path: Path) -> None:
    """`rank` looks up an item's features in it; the first row of a duplicate key is kept."""
    write_store(tmp_path / "data", "csv")
    result = ingest(store_config("csv", broadcast=False), tmp_path / "data", tmp_path / "out")
    assert {row["table_key"][0]: row.get("price") for row in result.catalog} == {"a0": [0.5], "a1": [1.25], "a2": None}
    assert [path.name for path in (tmp_path / "out" / "catalog").iterdir()] == ["catalog"]


def test_a_table_is_written_slice_by_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array of texts has room for 2 GiB only, and a table can have more."""
    write_store(tmp_path / "data", "csv")
    at_once = ingest(store_config("csv"), tmp_path / "data", tmp_path / "whole")
    monkeypatch.setattr(key_stages, "ROWS_AT_ONCE", 1)
    assert ingest(store_config("csv"), tmp_path / "data", tmp_path / "slices") == at_once
    assert any(row["reason"] == "duplicate_key" for row in at_once.rejected)


def test_rows_that_cannot_even_be_read_are_kept_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_store(data, "csv")
    path = data / "impressions" / "part-1.csv"
    head, *lines = path.read_bytes().splitlines(keepends=True)
    bad = [
        b'i200,r200,1000,u1,"caf\xe9\n',
        b"i201,r\xff,1000,u1,a1,home\n",
        b"i202\n",
        b"i203," + b"x" * 2_000_000 + b"\n",
    ]
    path.write_bytes(head + b"".join(bad + lines))
    result = ingest(store_config("csv"), data, tmp_path / "out")
    kept = [(r["line"], r["reason"], r["text"][:20]) for r in result.rejected if r["source"] == "impressions"][:4]
    assert kept == [
        (2, "malformed", 'i200,r200,1000,u1,"c'),
        (3, "undecodable", "{'impression': 'i201"),
        (4, "malformed", "i202\n"),
        (5, "too_long", "i203,xxxxxxxxxxxxxxx"),
    ]
    assert result.rejected[1]["text"] == 'i200,r200,1000,u1,"caf\\udce9\n'
    assert result.counts.read["impressions"] == 49
    found = {e["impression_id"][0]: e for examples in result.examples.values() for e in examples}
    assert found == {key: e for examples in expected_examples().values() for key, e in examples.items()}


def test_two_stray_quotes_far_apart_cost_their_own_rows_only(tmp_path: Path) -> None:
    # No feature uses the column `note`; without a limit, the two quotes would include all 3,000 rows between them.
    data = tmp_path / "data"
    rows = [impression(i, f"u{i % 4}", f"a{i % 5}", 1000.0) | {"note": "n"} for i in range(3002)]
    write_store(data, "csv", impressions=rows)
    for path in (data / "impressions").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    last = data / "impressions" / "part-1.csv"
    lines = last.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b",n\n", b',"n\n')
    lines[-1] = lines[-1].replace(b",n\n", b',n"\n')
    last.write_bytes(b"".join(lines))
    result = ingest(store_config("csv"), data, tmp_path / "out")
    (rejected,) = [r for r in result.rejected if r["source"] == "impressions"]
    assert (rejected["file"], rejected["line"], rejected["reason"]) == (str(last), 2, "malformed")
    assert rejected["detail"] == (
        "a row must have at most 10 lines (ingestion.max_record_lines), and a quoted field must be closed within them"
    )
    assert result.counts.lines["impressions"] == LineCounts(total=3004, header=2, blank=0, rows=3002)
    assert sum(len(examples) for examples in result.examples.values()) == 3001
    assert result.unfit == ""


def test_a_file_whose_lines_are_not_those_that_were_read_makes_the_rows_unfit(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_store(data, "csv")
    path = data / "impressions" / "part-1.csv"
    config = store_config("csv")
    process = ReadFiles(Task(config, 0, str(tmp_path), 1, 1)).process(("impressions", "", 0, str(path)))
    assert next(process).tag == REJECTED  # the file's rows are read
    # The file is replaced while it is read, as by an unfinished upload.
    longer = path.with_suffix(".new")
    longer.write_bytes(path.read_bytes() * 2)
    longer.replace(path)
    reported = [
        o.value[0][1]
        for o in process
        if isinstance(o, TaggedOutput) and o.tag == COUNTED and o.value[0][0] == "unusable"
    ]
    assert reported == [
        "every line of a file must be its header, blank, or part of a row that was kept or rejected. Received: 52 "
        f"lines, 1 of the header, 0 blank, 25 of rows; was the file changed while it was read? ({path})"
    ]


def test_a_file_that_is_cut_off_makes_the_rows_unfit(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_store(data, "csv", ".gz")
    path = data / "impressions" / "part-1.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    result = ingest(store_config("csv", ".gz"), data, tmp_path / "out")
    assert result.unfit.startswith("the file is damaged or cut off after line ")
    assert result.unfit.endswith(f"({path})")
    assert result.counts.unusable_files == (result.unfit,)


def test_a_disk_that_is_away_fails_the_ingestion_with_one_sentence(tmp_path: Path) -> None:
    """A completed one would be taken from the cache, with its unfit rows, until the file changes."""
    data = tmp_path / "data"
    write_store(data, "csv")
    path = data / "impressions" / "part-1.csv"
    path.unlink()
    path.symlink_to("/proc/self/mem")  # it can be opened; reading its first byte fails
    with pytest.raises(Exception, match="the file cannot be read now") as caught:
        ingest(store_config("csv"), data, tmp_path / "out")
    assert isinstance(caught.value, UnreadableError)  # of a worker in this process; another one sends its text
    texts = [
        sentence(caught.value),
        outage(RuntimeError("".join(traceback.format_exception(caught.value))), Workspace.at(tmp_path)),
    ]
    assert texts == 2 * [
        "the file cannot be read now: Input/output error; once it can be, run the same command again to continue "
        f"({path})"
    ]


def test_too_many_rejected_rows_make_the_rows_unfit(tmp_path: Path) -> None:
    write_store(tmp_path / "data", "jsonl")
    config = store_config("jsonl", ingestion={"eval_fraction": 0.5, "max_rejected_fraction": 0.1})
    assert ingest(config, tmp_path / "data", tmp_path / "out").unfit == (
        "at most 10.00% of `impressions` may be rejected (ingestion.max_rejected_fraction). Received: 5 of 45 "
        "(11.11%; bad_type 1, duplicate_impression_id 1, missing_value 2, too_long 1)"
    )


@pytest.mark.parametrize(
    "rule", [{"split_by": "time", "eval_seconds": 90.0}, {"split_by": "time_fraction", "eval_fraction": 0.225}]
)
def test_a_split_by_time(tmp_path: Path, rule: dict[str, Any]) -> None:
    # 40 rows, one every ten seconds: the last 90 seconds are the last 9 of them, and 0.225 · 40 = 9.
    write_store(tmp_path / "data", "jsonl")
    out = ingest(store_config("jsonl", ingestion=rule), tmp_path / "data", tmp_path / "out")
    last = {f"i{number}" for number in range(GOOD - 9, GOOD)}
    assert {value for example in out.examples["eval"] for value in example[IMPRESSION_ID]} == last
    assert len(out.examples["train"]) == GOOD - 9


def test_the_scratch_folder_is_removed(tmp_path: Path) -> None:
    write_store(tmp_path / "data", "csv")
    ingest(store_config("csv"), tmp_path / "data", tmp_path / "out")
    assert [path for path in (tmp_path / "out" / "tmp").rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_the_files_do_not_depend_on_the_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 impressions in 12 files, every tenth twice, some bad: several buckets of keys, and several shards."""
    monkeypatch.setattr(transforms, "_KEY_BUCKET_BYTES", 10_000)
    monkeypatch.setattr(transforms, "SHARD_BYTES", 8_000)
    write_store(tmp_path / "data", "csv")
    (folder,) = [path for path in (tmp_path / "data").iterdir() if path.name == "impressions"]
    rows = [row for row in IMPRESSIONS if len(row["user"] or "") < 100]
    more = [impression(1000 + n, f"u{n % 7}", f"a{n % 3}", 1000.0 + n) for n in range(1000)]
    rows += [*more, *more[::10]]
    for path in folder.iterdir():
        path.unlink()
    for part in range(12):
        write_rows(folder / f"part-{part:02d}.csv", "csv", rows[part::12])
    outputs = []
    with worker_pool() as pool, worker_pool() as other:
        hosts = (f"127.0.0.1:{pool.port}", f"127.0.0.2:{other.port}")
        of_pool = (
            "--runner=PortableRunner",
            "--job_endpoint=embed",  # Beam's job server in Python, which submits to no cluster
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool.port}",
            "--sdk_container_image=none",
            "--sdk_worker_parallelism=1",
            "--environment_cache_millis=3600000",
        )
        ways = {
            "one": Beam(), "three": Beam(num_workers=3), "pool": Beam(args=of_pool), "hosts": Beam(workers=hosts),
        }  # fmt: skip
        for name, beam in ways.items():
            ingest(store_config("csv"), tmp_path / "data", tmp_path / name, make_beam_args(beam))
            outputs.append(contents(tmp_path / name))
    assert outputs[0] == outputs[1] == outputs[2] == outputs[3]
    assert len([name for name in outputs[0] if "Split-train" in name]) > 3
