"""What the machine did to a dry run does not outlive its hour: the same command, later, decides again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components.infra_validation.killer import killing_dry_runs
from tests.e2e import store
from tests.e2e.bad_store import in_process, ok_in_process

pytestmark = pytest.mark.slow

#: The store's budget, and one that no model keeps, as on a machine that is busy all the time.
BUDGET, BUSY = "max_latency_ms: 10000", "max_latency_ms: 0.001"


def test_three_killed_dry_runs_then_a_quiet_one_is_pushed(
    first_day: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    workspace = store.copy_of(first_day[0], tmp_path / "workspace")
    arguments = store.run_arguments(data, workspace, 2)
    with killing_dry_runs(100) as killed:
        failed = in_process(*arguments)
    *_, sentence = failed.stderr.splitlines()
    assert (failed.returncode, len(killed) >= 3) == (1, True)
    rule = "error: the dry run's process must not be killed from outside. Received: 3 tries in a row that were, "
    assert sentence.startswith(rule), sentence
    report = store.last_report(workspace)
    assert (report["status"], report["failed_node"]) == ("failed", "infra_validation")
    assert store.versions(workspace) == [1]

    output = ok_in_process(*arguments)
    assert "trainer" in store.cached(output)
    assert "infra_validation" not in store.cached(output)
    assert store.versions(workspace) == [1, 2]


def test_a_refused_time_is_measured_again_by_the_same_command(
    first_day: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    workspace, config = store.copy_of(first_day[0], tmp_path / "workspace"), tmp_path / "busy.yaml"
    text = store.CONFIG.read_text()
    assert BUDGET in text
    config.write_text(text.replace(BUDGET, BUSY))
    for is_again in (False, True):
        output = ok_in_process(*store.run_arguments(data, workspace, 2, config))
        assert ("trainer" in store.cached(output)) == is_again
        assert "infra_validation" not in store.cached(output)
        report = store.last_report(workspace)
        assert report["infra"]["may_change"]
        (reason,) = report["refusals"]
        assert "must be at most 0.001 ms. Received: " in reason
        assert "; other processes used " in reason
        assert reason.endswith(" (the best of 3 measurements)")
        assert "the cache does not keep this refusal" in output
