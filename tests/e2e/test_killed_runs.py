"""A killed run completes when it is started again, as one that was not, and never harms the served version."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from tests.soak.backfill import problems
from tests.soak.kill_series import Series, draw, run_series
from tests.soak.remains import remains
from tests.soak.stage_kills import Day, Moment
from tests.soak.watcher import Watcher
from transform.files.version_layout import PART_PREFIX

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def thrice(first_day: tuple[Path, str], data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Series]:
    """A workspace in which the second day's run was killed three times, and the series of kills."""
    workspace = store.copy_of(first_day[0], tmp_path_factory.mktemp("thrice") / "workspace")
    # Half of each duration, so that the moments are not missed if the machine is less busy now.
    usual = {node: float(how.removesuffix(" s")) / 2 for node, how in store.nodes(first_day[1]).items()}
    (moments,) = draw(usual, 3, random.Random(8))
    return workspace, run_series(1, workspace, store.run_arguments(data, workspace, 2), moments)


def test_a_run_killed_three_times_completes(thrice: tuple[Path, Series]) -> None:
    """The short form of `python -m tests.soak.kills`; the first day's run gives the nodes' usual durations."""
    _, series = thrice
    assert series.problems == ()
    assert len(series.kills) + len(series.missed) == 3
    assert len(series.kills) >= 2  # a push may end earlier than usual
    assert series.new_versions == (2,)
    assert series.watched.polls > 1000


def test_a_missed_day_that_is_caught_up_on_is_as_on_time(
    thrice: tuple[Path, Series], first_day: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    """The short form of `python -m tests.soak.backfill`; the run on time is the one that was killed three times."""
    caught_up = store.copy_of(first_day[0], tmp_path / "workspace")
    ok_in_process("run", store.CONFIG, "--data", data, "--workspace", caught_up, "--backfill", "2..2")
    assert problems(thrice[0], caught_up, 1) == []


def test_a_push_that_was_killed_twice_is_done_once(thrice: tuple[Path, Series], data: Path, tmp_path: Path) -> None:
    """The second version is removed, so that the same run has to push it again."""
    workspace, log = thrice[0], tmp_path / "log"
    serving = workspace / "serving" / store.NAME
    shutil.rmtree(serving / "2")
    arguments = store.run_arguments(data, workspace, 2)
    with Watcher(serving) as watcher:
        store.kill_when(arguments, log, lambda: any(p.name.startswith(PART_PREFIX) for p in serving.iterdir()))
        assert any("as running" in what for what in remains(workspace))
        store.kill_when(arguments, log, lambda: (serving / "2").exists())
        output = ok_in_process(*arguments)
    assert watcher.watched.problems == {}
    assert watcher.watched.loads == {"1": 1, "2": 1}
    assert store.versions(workspace) == [1, 2]  # one new version, not two
    assert {"example_gen", "transform", "trainer", "evaluator", "infra_validation"} <= store.cached(output)
    assert remains(workspace) == []


def test_a_task_killed_inside_a_stage_leaves_no_scratch(data: Path, tmp_path: Path) -> None:
    """The short form of `python -m tests.soak.stage_kills`."""
    moments = [Moment("example_gen", "shuffled-*"), Moment("statistics_gen", "Split-train/*")]
    ingestion, statistics = Day("store", tmp_path / "store", store.CONFIG, data, 1).kills(moments)
    assert (ingestion.problems, statistics.problems) == ((), ())
    assert "scratch" in ingestion.left_in
    assert "statistics" in statistics.left_in


def test_moments_are_of_all_nodes_and_in_order() -> None:
    usual = {"a": 1.0, "b": 0.0, "c": 50.0, "push": 0.1, "d": 2.0}
    all_moments = draw(usual, 40, random.Random(1))
    assert [len(moments) for moments in all_moments] == [10, 10, 10, 10]
    order = list(usual)
    for moments in all_moments:
        places = [(order.index(moment.node), moment.seconds) for moment in moments]
        assert places == sorted(places)
        assert all(0 <= moment.seconds <= usual[moment.node] for moment in moments)
        assert "push" in {moment.node for moment in moments}
    nodes = [moment.node for moments in all_moments for moment in moments]
    assert set(nodes) == set(usual)
    assert nodes.count("c") > 20  # it takes most of the time
