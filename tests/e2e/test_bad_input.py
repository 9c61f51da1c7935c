"""Bad input stops a command with one sentence, or is written to the quarantine while the run continues."""

from __future__ import annotations

import collections
import dataclasses
import gzip
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf

import pipeline.runner.run
from components.ingestion.spans import SpanFiles
from pipeline.beam_options import LOCAL_BEAM_ARGS
from pipeline.check.rows import check_span
from pipeline.errors import first_line, sentence
from pipeline.report.run_report import RunReport, read_report
from tests.e2e import store
from tests.e2e.bad_input import STOPS, Stop, stops
from tests.e2e.bad_rows import BAD_ROWS, NUM_GOOD, ODD_ROWS, write_bad_rows
from tests.e2e.bad_store import NUM_APPS, NUM_USERS, Store, in_process
from transform.config.config import Config
from transform.errors import InputError


def assert_told(done: subprocess.CompletedProcess[str], expected: str, code: int = 1) -> None:
    """Checks that the command failed with this sentence and printed no other error."""
    assert done.stderr == f"error: {expected}\n"
    assert done.returncode == code


def with_release(refusal: str) -> str:
    """The message of `row_gate`: the refusal, where its rows are, and how a user lets the span through."""
    command = "wdr run <config_path> --data <data> --workspace <workspace> --span 1 --accept-span --reason TEXT"
    place = "the rejected rows and the counts are in <examples>/quarantine/1"
    return f"{refusal}; {place}. To let it through, on record: `{command}`"


def assert_nothing_pushed(broken: Store) -> None:
    """A stopped run leaves its log; one that a gate stopped also leaves ingestion's artifacts and a report on it."""
    left = {p.name for p in broken.workspace.iterdir()} if broken.workspace.exists() else set()
    of_claims = {".claim", ".lock", ".locks", ".workspace_id"}
    assert left <= of_claims | {"logs", "metadata", "artifacts", "compiled", "reports", "metrics"}
    assert not list(broken.workspace.glob("artifacts/trainer"))
    reports = [read_report(path) for path in broken.workspace.glob("reports/*.json")]
    assert [report.status for report in reports] in ([], ["skipped"], ["failed"])


def test_the_table_has_every_kind_once() -> None:
    kinds = [stop.kind for stop in STOPS] + [row.kind for row in BAD_ROWS]
    assert len(set(kinds)) == len(kinds) >= 50


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("stop", stops(at_gate=False))
def test_bad_input_stops_before_anything_runs(stop: Stop, command: str, tmp_path: Path) -> None:
    broken = Store(tmp_path)
    stop.breaks(broken)
    done = in_process(*broken.arguments(command))
    assert_told(done, broken.fill(stop.check))
    assert "…" not in done.stdout  # no component has started
    assert_nothing_pushed(broken)
    assert not (broken.workspace / "artifacts").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stop", stops(at_gate=True))
def test_bad_rows_stop_at_the_gate(stop: Stop, tmp_path: Path) -> None:
    broken = Store(tmp_path)
    stop.breaks(broken)
    checked = in_process(*broken.arguments("check"))
    if stop.check:
        assert_told(checked, broken.fill(stop.check))
    else:
        assert (checked.returncode, checked.stderr) == (0, "")
    done = in_process(*broken.arguments("run"))
    assert_told(done, broken.fill(with_release(stop.run or stop.check)))
    assert "✓ example_gen" in done.stdout
    assert done.stdout.splitlines()[-1] == "row_gate …"
    assert_nothing_pushed(broken)


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("a cross of an unknown feature", "check"),
        ("a cross of an unknown feature", "run"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in itertools.product(["an unknown config key", "quantiles 0"], ["check", "run"])
        ),
        pytest.param("no log", "run", marks=pytest.mark.slow),
        pytest.param("the wrong delimiter", "check", marks=pytest.mark.slow),
    ],
)
def test_a_process_of_its_own_says_the_same(kind: str, command: str, tmp_path: Path) -> None:
    (stop,) = [s for s in STOPS if s.kind == kind]
    broken = Store(tmp_path)
    stop.breaks(broken)
    assert_told(store.wdr(*broken.arguments(command)), broken.fill(stop.check))
    assert_nothing_pushed(broken)


@pytest.mark.parametrize("options", [("--debug", "run"), ("run", "--debug")])
def test_debug_shows_the_traceback(options: tuple[str, str], tmp_path: Path) -> None:
    arguments = Store(tmp_path).arguments("run")[2:]
    done = store.wdr(*options, tmp_path / "none.yaml", *arguments)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "transform.errors.ConfigError: the config cannot be read: No such file or directory" in done.stderr


_BEAM_ARGS = ["--data", "<data>", "--workspace", "<workspace>", "--beam-arg=--runner=FnApiRunner"]

#: Errors on the command line: the options beside the config, the message, and the exit code. Code 2 means that click
#: found the error, whose message then also refers to `--help`.
WRONG_COMMANDS: list[tuple[str, list[str], str, int]] = [
    ("run", ["--workspace", "<workspace>"], "Missing option '--data'.", 2),
    ("run", ["--data", "<data>"], "Missing option '--workspace'.", 2),
    ("check", [], "Missing option '--data' or '--workspace'.", 2),
    ("check", ["--data", "<data>/no"], "Invalid value for '--data': Directory '<data>/no' does not exist.", 2),
    ("check", ["--data", "<log>"], "Invalid value for '--data': Directory '<log>' is a file.", 2),
    ("check", ["--data", "<data>", "--rows", "0"], "Invalid value for '--rows': 0 is not in the range x>=1.", 2),
    ("check", ["--data", "<data>", "--span", "x"], "Invalid value for '--span': 'x' is not a valid integer range.", 2),
    ("run", ["--data", "<data>", "--spam", "1"], "No such option '--spam'. Did you mean '--span'?", 2),
    (
        "check",
        ["--data", "<data>", "--span", "7"],
        "there are no impressions for span 7; the latest are of span 1 (<data>/log/day-{SPAN}/part-*.csv)",
        1,
    ),
    ("run", ["--data", "<data>", "--workspace", "<log>/below"], "Not a directory: <log>/below/logs", 1),
    (
        "run",
        [*_BEAM_ARGS, "--beam-arg=--direct_num_workers=two"],
        "`beam.args` (`--beam-arg`) must be options that Beam knows: argument --direct_num_workers: invalid int value: "
        "'two'",
        1,
    ),
    (
        "run",
        [*_BEAM_ARGS, "--beam-arg=--direct_running_mode=multi_threading"],
        "`--beam-arg` must not run workers as threads (`--direct_running_mode=multi_threading`): a coder that they "
        "share breaks, and memory grew to 20 GB; `multi_processing` runs them as processes. Received: "
        "['--runner=FnApiRunner', '--direct_running_mode=multi_threading']",
        1,
    ),
]


@pytest.mark.parametrize(
    ("command", "options", "expected", "code"),
    WRONG_COMMANDS,
    ids=[" ".join(w[1]) or "no data" for w in WRONG_COMMANDS],
)
def test_a_wrong_command_is_told(command: str, options: list[str], expected: str, code: int, tmp_path: Path) -> None:
    good = Store(tmp_path)
    done = in_process(command, good.config_path, *(good.fill(o) for o in options))
    more = f" (`wdr {command} --help` lists the options)" if code == 2 else ""
    assert_told(done, good.fill(expected) + more, code)


def test_a_command_that_there_is_not_is_told() -> None:
    assert_told(in_process("publish"), "No such command 'publish'. (`wdr --help` lists the options)", 2)


def test_a_file_that_goes_away_while_the_run_starts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Store(tmp_path)

    def checked_and_lost(config: Config, data_root: str, span: int | None) -> SpanFiles:
        found = check_span(config, data_root, span)
        good.catalog.unlink()
        return found

    # The driver of `example_gen` checks the files again; its error must reach the terminal unchanged.
    monkeypatch.setattr(pipeline.runner.run, "check_span", checked_and_lost)
    assert_told(in_process(*good.arguments("run")), good.fill("the source `catalog` has no file (<catalog>)"))
    assert_nothing_pushed(good)
    (report,) = map(read_report, good.workspace.glob("reports/*.json"))
    sentence_of_run = good.fill("the source `catalog` has no file (<catalog>)")
    assert (report.status, report.failed_node, report.reason) == ("failed", "example_gen", sentence_of_run)


def test_an_ingestion_of_an_earlier_span_that_fails_is_on_record(tmp_path: Path) -> None:
    good = Store(tmp_path)
    good.config["ingestion"] = {"window_spans": 2}
    good.write_config()
    later = good.data / "log" / "day-2" / good.log.name
    later.parent.mkdir()
    good.log.rename(later)
    good.log.symlink_to("/proc/self/mem")  # it can be opened; reading its first byte fails
    sentence_of_run = good.fill(
        "the file cannot be read now: Input/output error; once it can be, run the same command again to continue "
        "(<log>)"
    )
    assert_told(in_process(*good.arguments("run")), sentence_of_run)
    assert_nothing_pushed(good)
    (report,) = map(read_report, good.workspace.glob("reports/*.json"))
    failed = RunReport.failed(2, "example_gen (span 1)", sentence_of_run)
    assert report == dataclasses.replace(
        failed, pipeline=good.config["name"], config_file=str(good.config_path), data_root=str(good.data)
    )


def test_an_unexpected_error_names_the_component_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Store(tmp_path)

    def fails(*_: Any) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(pipeline.runner.run, "check_span", fails)
    done = in_process(*good.arguments("run"))
    (log,) = (good.workspace / "logs").iterdir()
    assert_told(done, f"the run failed: RuntimeError: first line (log: {log})")
    assert "second line" in log.read_text()
    monkeypatch.setattr("components.ingestion.component.resolve_span", fails)
    monkeypatch.setattr(pipeline.runner.run, "check_span", check_span)
    done = in_process(*good.arguments("run"))
    log = max((good.workspace / "logs").iterdir())
    assert_told(done, f"example_gen failed: RuntimeError: first line (log: {log})")


def _raise(error: Exception) -> None:
    raise error


def test_an_error_of_a_beam_worker_keeps_its_sentence() -> None:
    def run(error: Exception) -> Exception:
        with pytest.raises(type(error)) as caught, beam.Pipeline(argv=list(LOCAL_BEAM_ARGS)) as root:
            _ = root | beam.Create([error]) | beam.Map(_raise)
        return caught.value

    assert sentence(run(InputError("a rule. Received: 0 (a/b.csv)"))) == "a rule. Received: 0 (a/b.csv)"
    assert first_line(run(ValueError("a rule\nmore"))) == "ValueError: a rule"
    # A worker in a separate process sends its error as text.
    report = (
        "Error received from SDK harness for instruction 4: Traceback (most recent call last):\n"
        '  File "worker.py", line 1, in process\n    raise ValueError()\n'
        "Traceback (most recent call last):\n"
        '  File "worker.py", line 2, in _execute\n    return task()\n'
        "ValueError: a rule [while running 'Ingest/Rows']\n\n"
    )
    assert first_line(RuntimeError(report)) == "ValueError: a rule"


def test_check_counts_the_rows_that_would_be_rejected(tmp_path: Path) -> None:
    bad, numbers = write_bad_rows(tmp_path)
    done = in_process(*bad.arguments("check"))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    num_rows = {
        "impressions": NUM_GOOD + len(ODD_ROWS) + sum(b.source == "impressions" for b in BAD_ROWS),
        "catalog": NUM_APPS + sum(b.source == "catalog" for b in BAD_ROWS),
        "users": NUM_USERS + sum(b.source == "users" for b in BAD_ROWS),
    }
    places = {"impressions": "log", "catalog": "catalog", "users": "users"}
    for line, (source, path) in zip(lines[1:4], places.items(), strict=True):
        found = [b for b in BAD_ROWS if b.source == source and not b.by_join]
        reasons = collections.Counter(b.reason for b in found).most_common()
        counted = ", ".join(f"{r} {n}" for r, n in reasons)
        (reason, number), *_ = reasons
        first = next(b for b in found if b.reason == reason)
        assert line.startswith(
            bad.fill(
                f"{source}: 1 files, the first {num_rows[source]:,} rows read, would be rejected: {counted}; most "
                f"often {reason} ({number}), the first: {first.detail} (line {numbers[first.kind]}, <{path}>)"
            )
        )
    assert [line.partition(" have a key")[2] for line in lines[4:6]] == [
        " that `catalog` does not have, most often 'app9999'", " that `users` does not have, most often 'nobody'"
    ]  # fmt: skip
    # Every third row is a click, and hours and apps come back after 24 and after a multiple of three rows.
    assert [line.partition(":")[0] for line in lines[6:]] == ["features", "features", "requests", "defaults"]


@pytest.mark.slow
def test_bad_rows_go_to_the_quarantine_and_the_run_pushes(tmp_path: Path) -> None:
    bad, numbers = write_bad_rows(tmp_path)
    done = in_process(*bad.arguments("run"), "--verbose")
    assert (done.returncode, done.stderr) == (0, "")
    report = store.last_report(bad.workspace)
    assert report["version"] == 1
    assert store.versions(bad.workspace, "bad_input") == [1]

    # The quarantine has each bad row with its place, reason and text, and no other row.
    kept = {(r["source"], r["line"]): r for r in quarantine(Path(report["places"]["quarantine"]))}
    assert sorted(kept) == sorted((b.source, numbers[b.kind]) for b in BAD_ROWS)
    files = {"impressions": bad.log, "catalog": bad.catalog, "users": bad.users}
    for row in BAD_ROWS:
        found = kept[row.source, numbers[row.kind]]
        assert (found["reason"], found["detail"], found["file"]) == (
            row.reason, bad.fill(row.detail), str(files[row.source]),
        ), row.kind  # fmt: skip
        assert row.text in found["text"], row.kind
        assert len(found["text"]) <= 65_536

    # The counts in the report and the summary equal the table's.
    counts = report["counts"]
    by_source = {source: collections.Counter(b.reason for b in BAD_ROWS if b.source == source) for source in files}
    assert counts["rejected"] == by_source
    assert counts["unmatched"] == {"users": 1}
    num_bad = by_source["impressions"].total()
    num_read = NUM_GOOD + len(ODD_ROWS) + num_bad
    assert counts["read"] == {
        "impressions": num_read,
        "catalog": NUM_APPS + by_source["catalog"].total(),
        "users": NUM_USERS + by_source["users"].total(),
    }
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(by_source["impressions"].items()))
    reported = {line[:12].strip(): line[12:].strip() for line in done.stdout.splitlines()}
    assert reported["rows"] == f"{num_read:,} read, {num_bad} rejected ({reasons}), 1 of several lines"
    tables = ", ".join(f"{number} rejected ({reason})" for reason, number in sorted(by_source["catalog"].items()))
    assert reported["catalog"] == f"{counts['read']['catalog']:,} read, {tables}"
    assert reported["users"] == f"{NUM_USERS + 1} read, 1 rejected (undecodable), 1 impressions without a match"

    # The Evaluator weights the examples as the trainer does; both compute the exact AUC.
    validation = report["training"]["validation"]
    assert report["metrics"]["logloss"] == pytest.approx(validation["logloss"], abs=1e-5)
    assert report["metrics"]["auc"] == pytest.approx(validation["auc"], abs=1e-4)

    # Every row that was read was trained on, evaluated on, or quarantined.
    splits = {split: examples(bad.workspace, split) for split in ("train", "eval")}
    trained, evaluated = len(splits["train"]), len(splits["eval"])
    assert evaluated == report["num_eval_examples"]
    assert trained + evaluated + num_bad == num_read
    by_id = splits["train"] | splits["eval"]
    assert set(by_id) == {f"i{i}" for i in range(NUM_GOOD)} | set(ODD_ROWS)
    assert "hour" not in by_id["nan"].feature
    assert "country" not in by_id["stranger"].feature
    assert by_id["windows"].feature["label"].int64_list.value == [1]


def quarantine(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in folder.glob("rejected*")
        for line in gzip.decompress(path.read_bytes()).decode("ascii").splitlines()
    ]


def examples(workspace: Path, split: str) -> dict[str, Any]:
    """The examples that ingestion wrote, by impression id."""
    files = sorted(str(p) for p in workspace.glob(f"artifacts/example_gen/examples/*/Split-{split}/*"))
    features = [
        tf.train.Example.FromString(r).features for r in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
    ]
    by_id = {f.feature["impression_id"].bytes_list.value[0].decode(): f for f in features}
    assert len(by_id) == len(features)
    return by_id
