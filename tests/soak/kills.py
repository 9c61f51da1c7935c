"""Kills a run with SIGKILL at random moments over the whole pipeline, and restarts it each time.

    python -m tests.soak.kills [--kills 40] [--seed 1] [--late-labels]

The kills come in series. Each series begins with a workspace in which a first version is pushed, kills the second
span's run repeatedly, at later and later moments, and then lets it complete. The push is killed as often as there are
series: each has a moment of the push, and a moment that comes after the push's end moves to another series. Of the
other kills, some are assigned to one node each; the rest are at moments uniform over the run's time. A watcher checks
the serving folder throughout; the verdict has the longest time between two of its polls.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.cli.options import quiet_imports
from tests.e2e import store
from tests.e2e.timed_run import TimedRun

with quiet_imports():
    from tests.soak.kill_series import PUSH, Kill, Moment, Series, draw, num_series, run_series

#: The allowed difference in AUC between a killed run and an undisturbed one, for the same training on the same
#: examples.
_MAX_AUC_DIFFERENCE = 1e-3

#: If a run ends before a moment, the moment moves to another series; at most this many additional series are run.
_MAX_MORE_SERIES = 3


def _must_be_same(report: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same in a killed run's report, by its name."""
    return {
        "the rows' counts": report["counts"],
        "the spans": report["spans"],
        "the training's steps": report["training"]["num_steps"],
        "the evaluation's examples": report["num_eval_examples"],
        "the late labels": report["late"],
    }


def differences(report: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The differences between a run's report and that of the undisturbed run, one sentence each."""
    found = []
    wanted = _must_be_same(expected)
    for name, value in _must_be_same(report).items():
        if value != wanted[name]:
            found.append(f"{name} must be those of a run that nobody kills, {wanted[name]}. Received: {value}")
    auc, expected_auc = report["metrics"]["auc"], expected["metrics"]["auc"]
    if abs(auc - expected_auc) > _MAX_AUC_DIFFERENCE:
        found.append(f"the AUC must be that of a run that nobody kills, {expected_auc:.6f}. Received: {auc:.6f}")
    return found


def missed_nodes(moments: Sequence[Moment], series: Series) -> list[str]:
    """The nodes whose moments another series must have: those that had not come, and a push that was not killed."""
    nodes = [moment.node for moment in series.missed]
    planned, killed = {moment.node for moment in moments}, {kill.node for kill in series.kills}
    return [*nodes, PUSH] if PUSH in planned - killed - set(nodes) else nodes


def problems_of(all_series: Sequence[Series], num_kills: int) -> list[str]:
    """The violated requirements of a campaign, one sentence each.

    Args:
      all_series: The campaign's series.
      num_kills: The number of kills that it was to have.
    """
    problems = [f"series {n}: {problem}" for n, series in enumerate(all_series, 1) for problem in series.problems]
    kills = [kill for series in all_series for kill in series.kills]
    if len(kills) < num_kills:
        problems.append(f"there must be {num_kills} kills. Received: {len(kills)}")
    num_pushes = sum(kill.node == PUSH for kill in kills)
    if num_pushes < (wanted := num_series(num_kills)):
        problems.append(f"the push must be killed {wanted} times. Received: {num_pushes}")
    return problems


class Campaign:
    """All series, from a simulated store to the verdict.

    Args:
      folder: A folder for everything.
      num_kills: The number of kills.
      rng: The random number generator.
      progress: Shows the progress.
      config: The config.
    """

    def __init__(self, folder: Path, num_kills: int, rng: random.Random, progress: Progress, config: Path):
        self._folder, self._num_kills, self._rng, self._progress = folder, num_kills, rng, progress
        self._config = config
        self._task = progress.add_task("", total=num_kills)
        self.usual: dict[str, float] = {}

    def run(self) -> list[Series]:
        """Runs the campaign."""
        self._tell("the first span's run")
        self._data = store.simulate(self._folder / "data", days=2)
        self._first = self._folder / "first"
        store.wdr_ok(*store.run_arguments(self._data, self._first, 1, self._config))
        self._tell("the second span's run, which nobody kills")
        workspace = self._copy("undisturbed")
        run = TimedRun(store.run_arguments(self._data, workspace, 2, self._config))
        assert run.wait() == 0, run.output
        self.usual = run.durations
        expected = store.last_report(workspace)

        left = draw(self.usual, self._num_kills, self._rng)
        most = len(left) + _MAX_MORE_SERIES
        done: list[Series] = []
        while left and len(done) < most:
            number = len(done) + 1
            self._tell(f"series {number}")
            workspace = self._copy(f"series-{number}")
            arguments = store.run_arguments(self._data, workspace, 2, self._config)
            moments = left.pop(0)
            series = run_series(number, workspace, arguments, moments, self._on_kill)
            problems = [*series.problems, *differences(store.last_report(workspace), expected)]
            done.append(dataclasses.replace(series, problems=tuple(problems)))
            self._print(f"series {number}: {'; '.join(problems) or 'good'}, {series.watched}")
            if again := missed_nodes(moments, series):
                again.sort(key=list(self.usual).index)
                left.append([Moment(node, self._rng.uniform(0, self.usual[node])) for node in again])
        return done

    def _copy(self, name: str) -> Path:
        """A copy of the workspace after the first span. TFX stores absolute paths: it reads the original artifacts."""
        return store.copy_of(self._first, self._folder / name)

    def _tell(self, what: str) -> None:
        self._progress.update(self._task, description=what)

    def _on_kill(self, kill: Kill) -> None:
        reported = f"series {kill.series}: killed in {kill.node}"
        self._progress.update(self._task, description=reported, advance=1)
        self._print(f"{reported} after {kill.seconds:.2f} s")

    def _print(self, what: str) -> None:
        """Prints an event if the progress bar is not visible before the end."""
        if not self._progress.console.is_terminal:
            self._progress.console.print(what, markup=False)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--late-labels", action="store_true", help="Of a store whose last labels are completed a day later."
    )
    arguments = parser.parse_args()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        config = store.with_late_labels(folder / "late.yaml") if arguments.late_labels else store.CONFIG
        campaign = Campaign(folder, arguments.kills, random.Random(arguments.seed), progress, config)
        all_series = campaign.run()
    console.print(_kills_table(all_series, campaign.usual), _series_table(all_series))
    problems = problems_of(all_series, arguments.kills)
    for problem in problems:
        console.print(f"[red]{escape(problem)}[/red]")
    if problems:
        console.print(f"what it left: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)
    num_kills = sum(len(series.kills) for series in all_series)
    gap = max(series.watched.longest_gap_ms for series in all_series)
    console.print(
        f"{num_kills} kills: every run completed with one new version, and a version served at every poll, at most "
        f"{gap:.0f} ms apart"
    )


def _kills_table(all_series: Sequence[Series], usual: Mapping[str, float]) -> Table:
    table = Table("kill", "series", "seconds since the start", "node that ran", "of usually", title="Kills")
    for number, kill in enumerate((kill for series in all_series for kill in series.kills), 1):
        table.add_row(str(number), str(kill.series), f"{kill.seconds:.2f}", kill.node, f"{usual[kill.node]:.2f} s")
    return table


def _series_table(all_series: Sequence[Series]) -> Table:
    table = Table(
        "series", "kills", "new versions", "polls", "longest gap, ms", "loads", "seconds", "verdict", title="Series"
    )
    for number, series in enumerate(all_series, 1):
        watched = series.watched
        table.add_row(
            str(number),
            str(len(series.kills)),
            ", ".join(map(str, series.new_versions)),
            f"{watched.polls:,}",
            f"{watched.longest_gap_ms:.0f}",
            ", ".join(f"version {version}: {loads}" for version, loads in watched.loads.items()),
            f"{series.seconds:.0f}",
            "[red]failed[/red]" if series.problems else "[green]good[/green]",
        )
    return table


if __name__ == "__main__":
    main()
