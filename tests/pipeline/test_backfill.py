"""`wdr run --backfill` skips a span whose logs cannot be used, and ends with any other error."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.e2e import store
from tests.e2e.bad_store import LOG_COLUMNS, Store, in_process, log_row


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    done = in_process("simulate", "--out", data, "--impressions-per-day", "10", "--users", "10", "--apps", "100")
    assert done.returncode == 0
    return data


def test_spans_without_logs_are_skipped(data: Path, tmp_path: Path) -> None:
    done = in_process("run", store.CONFIG, "--data", data, "--workspace", tmp_path, "--backfill", "8..9")
    assert done.returncode == 99
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        f"span {span} is skipped; the next run starts from the last good span" for span in (8, 9)
    ]
    assert done.stdout.splitlines()[-3:] == [
        "backfill of 2 spans: 2 skipped",
        *(f"span {span}: skipped: its logs are missing or of no use" for span in (8, 9)),
    ]


def test_a_span_that_is_skipped_has_no_document(data: Path, tmp_path: Path) -> None:
    done = in_process("run", store.CONFIG, "--data", data, "--workspace", tmp_path, "--backfill", "8..9", "--json")
    assert (done.returncode, done.stdout) == (99, "")
    assert done.stderr.count("is skipped; ") == 2
    assert "backfill of 2 spans: 2 skipped\n" in done.stderr


def test_a_damaged_serving_folder_ends_it_before_a_node_runs(data: Path, tmp_path: Path) -> None:
    (tmp_path / "serving" / store.NAME / "007").mkdir(parents=True)
    done = in_process("run", store.CONFIG, "--data", data, "--workspace", tmp_path, "--backfill", "1..1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: a version's folder must be named by its number without leading zeros: ")
    assert store.nodes(done.stdout) == {}


def test_any_other_error_ends_it_with_a_summary(data: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder of logs must be")
    done = in_process("run", store.CONFIG, "--data", data, "--workspace", tmp_path, "--backfill", "1..3")
    assert (done.returncode, done.stderr) == (1, f"error: File exists: {tmp_path / 'logs'}\n")
    assert done.stdout.splitlines()[-2:] == ["backfill of 3 spans: 1 not finished, 2 not run", "span 1: not finished"]


@pytest.mark.slow
def test_the_commands_that_it_advises_let_their_spans_through(tmp_path: Path) -> None:
    """Also where a folder's name has a space in it. A run of a single span advises the same command."""
    broken = Store(tmp_path / "a store")
    lines = [log_row(i, hour="noon") if i < 6 else log_row(i) for i in range(60)]
    broken.log.write_text("\n".join([",".join(LOG_COLUMNS), *lines]) + "\n")
    options = ["--rolling-window", "1", "--beam-arg=--runner=FnApiRunner"]
    done = in_process(*broken.arguments("run"), *options, "--backfill", "1..2")
    assert done.returncode == 99
    total, first, second = done.stdout.splitlines()[-3:]
    assert total == "backfill of 2 spans: 2 skipped"
    assert second == "span 2: skipped: its logs are missing or of no use"
    state, _, advised = first.removesuffix("`").partition("`")
    assert state == "span 1: skipped by a gate on data; to let it through, on record: "
    program, *arguments = shlex.split(advised)
    assert program == "wdr"
    assert arguments == [
        *map(str, broken.arguments("run")), *options, "--span", "1", "--accept-span", "--reason", "TEXT",
    ]  # fmt: skip
    alone = in_process(*broken.arguments("run"), *options)
    assert alone.returncode == 1
    assert alone.stderr.endswith(f". To let it through, on record: `{advised}`\n")
    accepted = in_process(*arguments)
    assert accepted.returncode == 0, accepted.stderr
    assert store.versions(broken.workspace, "bad_input") == [1]
