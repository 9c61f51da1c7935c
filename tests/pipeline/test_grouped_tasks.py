"""The tasks of a compiled pipeline whose resolvers and gates share a task with the node before them."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from pipeline.compile.compiled import write_compiled
from pipeline.compile.targets import write_target
from pipeline.compile.topology import Topology, check_pods, grouped
from tests.e2e.store import CONFIG
from transform.config.config_file import load_config
from transform.config.schedule import Pod
from transform.errors import InputError


def test_a_trivial_node_joins_the_task_before_it() -> None:
    assert grouped(["a", "b", "c", "d"], {"b", "c"}) == (("a", "b", "c"), ("d",))
    assert grouped(["a", "b"], {"a"}) == (("a",), ("b",))
    assert grouped(["a", "b"], ()) == (("a",), ("b",))
    assert grouped(["a", "b", "c", "d"], {"b", "c"}, alone=["a"]) == (("a",), ("b", "c"), ("d",))


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Topology:
    return write_compiled(load_config(str(CONFIG)), tmp_path_factory.mktemp("compiled"), group=True)


def test_a_task_that_is_tried_again_does_not_begin_the_run_again(topology: Topology) -> None:
    """`example_gen` begins it again if it is asked for after it is done: its task has no other node to try again."""
    assert topology.tasks[0] == ("example_gen",)
    (of_gate,) = [task for task in topology.tasks if "row_gate" in task]
    assert set(of_gate) <= {node.id for node in topology.nodes} - {"example_gen", "statistics_gen"}


def test_no_node_comes_before_the_one_that_begins_the_run(topology: Topology) -> None:
    """A run that is cleared begins again with `example_gen`; a node beside it would run in the earlier start."""
    assert [node.id for node in topology.nodes if not node.upstream] == ["example_gen"]


def test_the_tasks_of_the_small_store(topology: Topology) -> None:
    assert [task[0] for task in topology.tasks] == [
        "example_gen",
        "analyzer_cache",
        "statistics_gen",
        "data_validation",
        "progressive_validation",
        "transform",
        "trainer",
        "infra_validation",
        "evaluator",
        "push",
    ]
    assert [node for task in topology.tasks for node in task] == [node.id for node in topology.nodes]
    assert topology.tasks[7:9] == (("infra_validation", "validated_model"), ("evaluator", "quality_gate"))


def test_a_task_runs_after_the_tasks_of_its_nodes_upstream_nodes(topology: Topology) -> None:
    place = {task: number for number, task in enumerate(topology.tasks)}
    for task in topology.tasks:
        assert all(place[upstream] < place[task] for upstream in topology.upstream_of(task))
    upstream = [task[0] for task in topology.upstream_of(topology.tasks[8])]
    assert upstream == [
        "example_gen",
        "analyzer_cache",
        "progressive_validation",
        "trainer",
        "infra_validation",
    ]  # of `evaluator` and of `quality_gate`


def test_the_script_names_the_nodes_of_each_task(topology: Topology, tmp_path: Path) -> None:
    script = write_target("local", topology, tmp_path).read_text()
    program = script.replace(script[script.index("do\n  ") + 5 : script.index(" --compiled")], "echo")
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True)
    expected = [" ".join(f"--node {node}" for node in task) for task in topology.tasks]
    assert [line.partition(" ")[2].partition(" ")[2] for line in done.stdout.splitlines()] == expected


def test_without_grouping_each_node_is_a_task(topology: Topology) -> None:
    nodes = [node.id for node in topology.nodes]
    single = dataclasses.replace(topology, tasks=grouped(nodes, ()))
    assert single.tasks == tuple((node,) for node in nodes)
    for node in single.nodes:
        assert {task[0] for task in single.upstream_of((node.id,))} == set(node.upstream)


_TASKS = [["trainer", "serving_model"], ["evaluator", "quality_gate"]]
_SMALL, _LARGE = Pod(memory="2Gi"), Pod(memory="32Gi", node_selector={"pool": "large"})


@pytest.mark.parametrize(
    "pods",
    [
        {},
        {"default": _LARGE, "quality_gate": _LARGE},
        {"evaluator": _LARGE, "quality_gate": _LARGE},
        {"trainer": _LARGE, "evaluator": _SMALL},
    ],
)
def test_nodes_of_a_task_with_the_pod_of_its_first_node_are_compiled(pods: dict[str, Pod]) -> None:
    check_pods(pods, _TASKS)


@pytest.mark.parametrize(
    ("pods", "has"),
    [
        ({"quality_gate": _LARGE}, "cpu 1, memory 4Gi, node_selector {}"),
        ({"default": _SMALL, "quality_gate": _LARGE}, "cpu 1, memory 2Gi, node_selector {}"),
        ({"default": _LARGE, "evaluator": _SMALL, "quality_gate": _LARGE}, "cpu 1, memory 2Gi, node_selector {}"),
    ],
)
def test_a_pod_that_grouping_would_ignore_is_refused(pods: dict[str, Pod], has: str) -> None:
    with pytest.raises(InputError) as raised:
        check_pods(pods, _TASKS)
    assert str(raised.value) == (
        "with `--group`, nodes of one task share a pod, that of `evaluator`: `schedule.pods.quality_gate` must be the "
        "same, or left out. Received: cpu 1, memory 32Gi, node_selector {'pool': 'large'}; "
        f"`evaluator` has {has}"
    )
    check_pods(pods, [[node] for task in _TASKS for node in task])


def test_a_pod_for_what_is_no_node_is_refused() -> None:
    """A mistyped node would run with the default pod, and be killed for its memory."""
    check_pods({"default": _SMALL, "trainer": _LARGE, "tuner": _LARGE}, _TASKS, optional=("tuner",))
    with pytest.raises(InputError) as raised:
        check_pods({"trainer": _SMALL, "trainner": _LARGE, "Push": _LARGE}, _TASKS, optional=("tuner",))
    assert str(raised.value) == (
        "`schedule.pods` must name nodes, or `default`, for the others: default, evaluator, quality_gate, "
        "serving_model, trainer, tuner. Received: Push, trainner"
    )


def test_a_pod_for_a_node_of_another_config_is_compiled_and_one_for_no_node_is_not(tmp_path: Path) -> None:
    config = load_config(str(CONFIG))
    assert config.tuning is None
    assert not config.sources.has_late_labels
    pods = {"tuner": _LARGE, "late_labels": _LARGE, "preceding_span": _SMALL}
    schedule = dataclasses.replace(config.schedule, pods=pods)
    write_compiled(dataclasses.replace(config, schedule=schedule), tmp_path / "compiled")
    schedule = dataclasses.replace(config.schedule, pods={"trainner": _LARGE})
    with pytest.raises(InputError, match=r"^`schedule\.pods` must name nodes.* Received: trainner$"):
        write_compiled(dataclasses.replace(config, schedule=schedule), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_compiling_checks_the_pods(tmp_path: Path) -> None:
    config = load_config(str(CONFIG))
    schedule = dataclasses.replace(config.schedule, pods={"quality_gate": _LARGE})
    with pytest.raises(InputError, match=r"^with `--group`, .* `schedule\.pods\.quality_gate` must be the same"):
        write_compiled(dataclasses.replace(config, schedule=schedule), tmp_path, group=True)
    assert list(tmp_path.iterdir()) == []
