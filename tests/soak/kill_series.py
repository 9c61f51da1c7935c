"""A series of kills: one run, killed at later and later moments, until it may complete."""

from __future__ import annotations

import dataclasses
import math
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.e2e import store
from tests.e2e.timed_run import TimedRun
from tests.soak.remains import remains
from tests.soak.watcher import Watched, Watcher

KILLS_PER_SERIES = 10

#: The node of which each series has a moment.
PUSH = "push"

#: The share of the kills that are assigned to one node each, however short; the others are uniform over the time.
_SHARE_BY_NODE = 0.75


@dataclasses.dataclass(frozen=True)
class Moment:
    """A moment to kill: a number of seconds after a node's start."""

    node: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Kill:
    """A kill that took place.

    Attributes:
      series: The series' number.
      seconds: Seconds since the run's start.
      node: The node that was running.
    """

    series: int
    seconds: float
    node: str


@dataclasses.dataclass(frozen=True)
class Series:
    """The result of a series of kills of one run.

    Attributes:
      kills: The kills that took place.
      missed: The moments that had not come when the run ended.
      new_versions: The versions that were pushed.
      watched: The watcher's observations.
      seconds: The duration of the series.
      problems: The violated requirements, one sentence each.
    """

    kills: tuple[Kill, ...]
    missed: tuple[Moment, ...]
    new_versions: tuple[int, ...]
    watched: Watched
    seconds: float
    problems: tuple[str, ...]


def num_series(num_kills: int) -> int:
    """The number of series of so many kills, without those for moments that were missed."""
    return math.ceil(num_kills / KILLS_PER_SERIES)


def draw(usual: Mapping[str, float], number: int, rng: random.Random) -> list[list[Moment]]:
    """Draws moments, and groups them into series.

    Args:
      usual: Each node's usual duration in seconds, in the pipeline's order.
      number: The number of moments.
      rng: The random number generator.

    Returns:
      The moments of each series, in the pipeline's order; each series includes the push.
    """
    count = num_series(number)
    nodes = [node for node in usual if node != PUSH]
    rng.shuffle(nodes)
    dealt = ([PUSH] * count + nodes)[: max(count, round(number * _SHARE_BY_NODE))]
    drawn = dealt + rng.choices(list(usual), list(usual.values()), k=number - len(dealt))
    order = list(usual)
    moments = [Moment(node, rng.uniform(0, usual[node])) for node in drawn]
    return [sorted(moments[i::count], key=lambda m: (order.index(m.node), m.seconds)) for i in range(count)]


def run_series(
    number: int,
    workspace: Path,
    arguments: list[str | Path],
    moments: Sequence[Moment],
    on_kill: Callable[[Kill], None] = lambda kill: None,
) -> Series:
    """Kills a run at some moments, one after another, and then lets it complete.

    Args:
      number: The series' number.
      workspace: The workspace, which has a version.
      arguments: The run's arguments.
      moments: The moments, in the pipeline's order.
      on_kill: Called after each kill.
    """
    since, before = time.monotonic(), store.versions(workspace)
    kills: list[Kill] = []
    missed: list[Moment] = []
    problems: list[str] = []
    finished: set[str] = set()

    def check_finished(run: TimedRun) -> None:
        ended = {
            node: how for node, how in store.nodes(run.output).items() if (workspace / "artifacts" / node).exists()
        }
        # The push is never taken from the cache; that it does not push twice is checked at the end.
        again = sorted(finished & ended.keys() - store.cached(run.output) - {PUSH})
        problems.extend(f"{node} had finished, and ran again" for node in again)
        finished.update(ended)

    with tempfile.TemporaryDirectory() as temporary, Watcher(workspace / "serving" / store.NAME) as watcher:
        environment = {"TMPDIR": temporary}
        run = TimedRun(arguments, environment)
        for moment in moments:
            seconds = run.kill_after(moment.node, moment.seconds)
            if seconds is None:  # the run has ended, so all later moments are missed, too
                missed.append(moment)
                continue
            kills.append(Kill(number, seconds, run.node))
            on_kill(kills[-1])
            check_finished(run)
            run = TimedRun(arguments, environment)
        if run.wait() != 0:
            problems.append(f"the run did not complete: {run.output[-500:]}")
        check_finished(run)
        problems += [f"{path} is left of a temporary folder" for path in Path(temporary).iterdir()]
    problems += [f"{problem} ({polls} polls)" for problem, polls in watcher.watched.problems.items()]
    new = sorted(set(store.versions(workspace)) - set(before))
    if new != [max(before) + 1] or not set(before) < set(store.versions(workspace)):
        problems.append(f"there must be one new version. Received: {before} before, {store.versions(workspace)} now")
    if sorted(map(int, watcher.watched.loads)) != store.versions(workspace):
        problems.append(f"every version must have been loaded. Received: {watcher.watched.loads}")
    problems += remains(workspace)
    return Series(tuple(kills), tuple(missed), tuple(new), watcher.watched, time.monotonic() - since, tuple(problems))
