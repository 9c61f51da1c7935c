"""A killed run completes when it is started again, and never harms the served version."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from components.model_store.versions import PART_PREFIX
from tests.e2e import store
from tests.soak.kill_series import draw, run_series
from tests.soak.remains import remains
from tests.soak.watcher import Watcher

pytestmark = pytest.mark.slow


def copy_of(first_day: Path, name: str) -> Path:
    """A copy of the workspace. TFX stores absolute paths: it reads the first day's artifacts in the original place."""
    workspace = first_day.parent / f"killed-{name}"
    shutil.copytree(first_day, workspace)
    return workspace


def test_a_push_that_was_killed_twice_is_done_once(first_day: tuple[Path, str], data: Path, tmp_path: Path) -> None:
    workspace, log = copy_of(first_day[0], "push"), tmp_path / "log"
    serving = workspace / "serving" / store.NAME
    arguments = store.run_arguments(data, workspace, 2)
    with Watcher(serving) as watcher:
        store.kill_when(arguments, log, lambda: any(p.name.startswith(PART_PREFIX) for p in serving.iterdir()))
        assert any("as running" in what for what in remains(workspace))
        store.kill_when(arguments, log, lambda: (serving / "2").exists())
        output = store.wdr_ok(*arguments)
    assert watcher.watched.problems == {}
    assert watcher.watched.loads == {"1": 1, "2": 1}
    assert store.versions(workspace) == [1, 2]  # one new version, not two
    assert {"example_gen", "transform", "trainer", "evaluator", "infra_validation"} <= store.cached(output)
    assert remains(workspace) == []


def test_a_run_killed_three_times_completes(first_day: tuple[Path, str], data: Path) -> None:
    """The short form of `python -m tests.soak.kills`; the first day's run gives the nodes' usual durations."""
    workspace = copy_of(first_day[0], "thrice")
    # Half of each duration, so that the moments are not missed if the machine is less busy now.
    usual = {node: float(how.removesuffix(" s")) / 2 for node, how in store.nodes(first_day[1]).items()}
    (moments,) = draw(usual, 3, random.Random(8))
    series = run_series(1, workspace, store.run_arguments(data, workspace, 2), moments)
    assert series.problems == ()
    assert len(series.kills) + len(series.missed) == 3
    assert len(series.kills) >= 2  # a push may end earlier than usual
    assert series.new_versions == (2,)
    assert series.watched.polls > 1000


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
