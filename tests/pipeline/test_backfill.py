"""`wdr run --backfill` skips a span whose logs cannot be used, and ends with any other error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import store
from tests.e2e.bad_store import in_process


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    done = in_process("simulate", "--out", data, "--impressions-per-day", "10", "--users", "10", "--apps", "100")
    assert done.returncode == 0
    return data


def test_spans_without_logs_are_skipped(data: Path, tmp_path: Path) -> None:
    done = in_process("run", store.CONFIG, "--data", data, "--workspace", tmp_path, "--backfill", "8..9")
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        f"span {span} is skipped; the next run starts from the last good span" for span in (8, 9)
    ]


def test_a_span_that_is_skipped_has_no_document(data: Path, tmp_path: Path) -> None:
    done = in_process("run", store.CONFIG, "--data", data, "--workspace", tmp_path, "--backfill", "8..9", "--json")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("is skipped; ") == 2


def test_a_damaged_serving_folder_ends_it_before_a_node_runs(data: Path, tmp_path: Path) -> None:
    (tmp_path / "serving" / store.NAME / "007").mkdir(parents=True)
    done = in_process("run", store.CONFIG, "--data", data, "--workspace", tmp_path, "--backfill", "1..1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: a version's folder must be named by its number without leading zeros: ")
    assert store.nodes(done.stdout) == {}
