"""A disk fills up while a node runs: one sentence, serving is unaffected, and the same command resumes with space."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import store
from tests.e2e.small_disk import DISK_MB, LEFT_BYTES, fill, mounted
from tests.e2e.timed_run import TimedRun
from tests.soak.remains import remains
from tests.soak.watcher import Watcher

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted(tmp_path_factory.mktemp("disk")) as place:
        yield place


def test_an_ingestion_that_would_fill_the_disk_does_not_begin(
    small_disk: Path, first_day: tuple[Path, str], data: Path
) -> None:
    """The first day says how much the second one needs."""
    workspace, filler = store.copy_of(first_day[0], small_disk / "workspace"), small_disk / "filler"
    arguments = store.run_arguments(data, workspace, 2)
    fill(filler, LEFT_BYTES)
    refused = store.wdr(*arguments)
    filler.unlink()
    assert refused.returncode == 1
    *_, sentence = refused.stderr.splitlines()
    rule = rf"error: the disk of {workspace}/\S+ must have room for what ingestion writes: about ([\d.]+) MB"
    why = r"the logs have ([\d.]+) MB; earlier ingestions wrote at least ([\d.]+) times their logs"
    found = re.match(rf"{rule} \({why}\)\. Received: 0\.\d MB are free; ", sentence)
    assert found, sentence
    needed, log, factor = map(float, found.groups())
    assert needed == pytest.approx(factor * log, rel=0.1)
    report = store.last_report(workspace)
    assert (report["status"], report["failed_node"]) == ("failed", "example_gen")
    assert report["reason"] == sentence.removeprefix("error: ")
    shutil.rmtree(workspace)


def test_a_full_disk_is_told_and_with_room_the_run_goes_on(
    small_disk: Path, first_day: tuple[Path, str], data: Path
) -> None:
    workspace, filler = store.copy_of(first_day[0], small_disk / "workspace"), small_disk / "filler"
    arguments = store.run_arguments(data, workspace, 2)
    finished: set[str] = set()
    with Watcher(workspace / "serving" / store.NAME) as watcher:
        for node in ("transform", "trainer", "push"):
            run = TimedRun(arguments)
            assert run.wait_for(node), run.output
            fill(filler, LEFT_BYTES)
            assert run.wait() == 1
            (log,) = sorted((workspace / "logs").iterdir())[-1:]
            *_, last_line = run.output.splitlines()
            full = rf"no space left on the disk of {workspace}: 0\.\d of its {DISK_MB}\.0 MB are free now"
            then = rf"free some space, then run the same command again to continue \(log: {log}\)"
            assert re.fullmatch(f"error: {node} failed: {full}; {then}", last_line)
            assert store.versions(workspace) == [1]
            finished |= store.nodes(run.output).keys()
            filler.unlink()
        output = store.wdr_ok(*arguments)
    assert {"example_gen", "statistics_gen", "transform", "trainer", "evaluator", "infra_validation"} <= finished
    assert {"example_gen", "statistics_gen", "transform", "trainer", "infra_validation"} <= store.cached(output)
    assert watcher.watched.problems == {}
    assert watcher.watched.loads == {"1": 1, "2": 1}
    assert store.versions(workspace) == [1, 2]
    assert remains(workspace) == []
    # No output that the full disk truncated was accepted as complete.
    report = store.last_report(workspace)
    counts = [json.loads(file.read_text()) for file in workspace.glob("artifacts/example_gen/quarantine/*/counts.json")]
    left_out = {c["span"]: c["unknown_labels"] for c in counts}
    assert left_out.keys() == {1, 2}
    training = report["training"]
    examples = training["num_examples"] + training["num_withheld_examples"] + training["validation"]["num_examples"]
    assert examples == 2 * 4000 - sum(left_out.values())
