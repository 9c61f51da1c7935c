"""`wdr gc` in a workspace with several runs: what it removes, and what it must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import pytest
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from tfx.dsl.components.common.resolver import Resolver

from components import storage
from components.ingestion.component import ImpressionExampleGen
from components.late_labels.component import LateLabels
from components.model_store.manifest import Manifest
from components.model_store.retention import pin
from components.model_store.versions import add_version, remove_version
from pipeline.cli.main import cli
from pipeline.registry.garbage import collect_garbage
from pipeline.workspace import Workspace


class Runs:
    """Writes what runs leave behind; each artifact has a file of 1,000 bytes."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.root = str(workspace.serving("store"))
        self.store = mlmd.MetadataStore(workspace.metadata_connection())
        self._contexts: list[Any] = []
        self._last: dict[str, Any] = {}

    def begin(self, name: str, pipeline: str = "store") -> None:
        """Starts a run; further executions belong to it."""
        self._contexts = []
        for kind, context_name in (("pipeline", pipeline), ("pipeline_run", name)):
            context = self.store.get_context_by_type_and_name(kind, context_name)
            if context is None:
                type_id = self.store.put_context_type(mlmd_pb2.ContextType(name=kind))
                (id_,) = self.store.put_contexts([mlmd_pb2.Context(type_id=type_id, name=context_name)])
                (context,) = self.store.get_contexts_by_id([id_])
            self._contexts.append(context)
        self.workspace.logs.mkdir(exist_ok=True)
        (self.workspace.logs / f"{name}.log").write_bytes(bytes(1000))

    def put(self, node: str, read: list[Any], *made: str, is_done: bool = True, span: int = 0) -> list[Any]:
        """Writes an execution with outputs of these types; some inputs have their own name. Returns the outputs."""
        type_id = self.store.put_execution_type(mlmd_pb2.ExecutionType(name=node))
        state = mlmd_pb2.Execution.COMPLETE if is_done else mlmd_pb2.Execution.FAILED
        execution = mlmd_pb2.Execution(type_id=type_id, last_known_state=state)
        outputs = []
        for kind in made:
            folder = self.workspace.artifacts / node / kind / str(len(self.store.get_artifacts()))
            folder.mkdir(parents=True)
            (folder / "file").write_bytes(bytes(1000))
            type_id = self.store.put_artifact_type(mlmd_pb2.ArtifactType(name=kind))
            artifact = mlmd_pb2.Artifact(type_id=type_id, uri=str(folder), state=mlmd_pb2.Artifact.LIVE)
            if node == "ImpressionGen":
                artifact.custom_properties["span"].int_value = span
            outputs.append(artifact)
        event = mlmd_pb2.Event
        inputs = [one if isinstance(one, tuple) else ("input", one) for one in read]
        pairs = [(a, event(type=event.INPUT, path=event.Path(steps=[event.Path.Step(key=key)]))) for key, a in inputs]
        pairs += [(artifact, event(type=event.OUTPUT)) for artifact in outputs]
        _, ids, _ = self.store.put_execution(execution, pairs, self._contexts)
        return list(self.store.get_artifacts_by_id(ids[len(read) :]))

    def run(self, name: str, *, pushed: bool = True) -> dict[str, Any]:
        """Writes a run that continues the one before it; returns its artifacts."""
        self.begin(name)
        raw, quarantine = self.put("ImpressionGen", [], "Examples", "Quarantine")
        (statistics,) = self.put("StatisticsGen", [raw], "ExampleStatistics")
        (record,) = self.put("DataValidation", [raw], "GateRecord")
        self.put("DataGate", [record])
        transformed, cache, memory = self.put(
            "StatefulTransform",
            [raw, *self._earlier("analyzer_cache"), *self._earlier("memory")],
            *("Examples", "TransformCache", "VocabularyMemory"),
        )
        (model,) = self.put("Trainer", [transformed, *self._earlier("base_model")], "Model")
        self._last = {"analyzer_cache": cache, "memory": memory, "base_model": model}
        (blessing,) = self.put("InfraValidation", [model], "InfraBlessing")
        (evaluation,) = self.put("Evaluator", [model, raw], "ModelEvaluation")
        if pushed:
            add_version(self.root, lambda folder: storage.write_text(f"{folder}/x", "x"), Manifest(model_uri=model.uri))
        return {
            "raw": raw, "quarantine": quarantine, "statistics": statistics, "record": record,
            "transformed": transformed, "cache": cache, "memory": memory,
            "model": model, "blessing": blessing, "evaluation": evaluation,
        }  # fmt: skip

    def _earlier(self, name: str) -> list[Any]:
        return [(name, self._last[name])] if self._last else []


#: What must be kept for an existing version's model: its inputs, side outputs and verdict.
NEEDED = {"record", "raw", "quarantine", "transformed", "cache", "memory", "model", "blessing"}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(Workspace.at(tmp_path))


def existing(artifacts: dict[str, Any]) -> set[str]:
    return {name for name, artifact in artifacts.items() if Path(artifact.uri).exists()}


def test_the_latest_runs_and_what_versions_were_made_from_stay(runs: Runs) -> None:
    refused, first, second, last = (runs.run(name, pushed=name != "a") for name in "abcd")
    garbage = collect_garbage(runs.workspace, 1, dry_run=False)
    assert (existing(refused), existing(first), existing(second)) == ({"record"}, NEEDED, NEEDED)
    assert existing(last) == set(last)
    assert [path.name for path in runs.workspace.logs.iterdir()] == ["d.log"]
    # Nine artifacts of `refused`, statistics and evaluation of `first` and `second`, and three logs.
    assert sorted(garbage.num_bytes.values()) == [1000] * (9 + 2 + 2 + 3)


def test_a_version_that_was_removed_needs_nothing_and_one_that_is_pinned_does(runs: Runs) -> None:
    first, second = runs.run("a"), runs.run("b")
    for name in "cd":
        runs.run(name)
    pin(runs.root, 2, "audit")
    remove_version(runs.root, 1)
    collect_garbage(runs.workspace, 1, dry_run=False)
    assert (existing(first), existing(second)) == ({"record"}, NEEDED)


def test_what_a_latest_run_took_from_an_earlier_one_stays(runs: Runs) -> None:
    """Here: the statistics of an earlier span."""
    first, second = runs.run("a", pushed=False), runs.run("b", pushed=False)
    runs.begin("c")
    runs.put("ImpressionGen", [], "Examples")
    runs.put("ExampleValidator", [first["statistics"]], "ExampleAnomalies")
    collect_garbage(runs.workspace, 1, dry_run=False)
    assert existing(first) == {"statistics", "record"}
    assert existing(second) == {"cache", "memory", "record"}  # the newest ones, for the next run


def test_all_records_of_gates_stay(runs: Runs) -> None:
    """The next run compares with them, and a replay reads all of them, including those of stopped spans."""
    good = runs.run("a", pushed=False)
    runs.begin("b")
    (examples,) = runs.put("ImpressionGen", [], "Examples", span=2)
    (record,) = runs.put("DataValidation", [examples], "GateRecord")
    runs.put("DataGate", [record], is_done=False)
    runs.run("c", pushed=False)
    collect_garbage(runs.workspace, 1, dry_run=False)
    kept = existing({**good, "of stopped": record, "examples of stopped": examples})
    assert kept == {"record", "of stopped", "cache", "memory", "model"}  # the latest run has read the last three


def test_what_another_pipeline_of_the_workspace_goes_on_from_stays(runs: Runs) -> None:
    first = runs.run("a", pushed=False)
    runs.begin("b")
    (unfit,) = runs.put("ImpressionGen", [], "Examples")
    runs.put("RowGate", [unfit], is_done=False)
    runs.begin("c", pipeline="other store")
    runs.put("StatisticsGen", [], "ExampleStatistics")
    runs.put("StatefulTransform", [], "TransformCache", "VocabularyMemory")
    collect_garbage(runs.workspace, 1, dry_run=False)
    assert existing(first) == {"record", "cache", "memory"}
    assert sorted(path.name for path in runs.workspace.logs.iterdir()) == ["b.log", "c.log"]


def test_the_ingestion_of_an_earlier_span_is_no_run(runs: Runs) -> None:
    first = runs.run("a", pushed=False)
    runs.begin("b-ingest-1")
    runs.put("ImpressionGen", [], "Examples")
    collect_garbage(runs.workspace, 1, dry_run=False)
    assert existing(first) == set(first)


def test_nor_is_the_ingestion_that_completes_late_labels(runs: Runs) -> None:
    first = runs.run("a", pushed=False)
    runs.begin("b-ingest-1")
    for node in (ImpressionExampleGen, Resolver, LateLabels):
        runs.put(node.get_class_type(), [], "Examples")
    collect_garbage(runs.workspace, 1, dry_run=False)
    assert existing(first) == set(first)


def test_ml_metadata_knows_what_is_gone(runs: Runs) -> None:
    old = runs.run("a", pushed=False)
    runs.run("b")
    collect_garbage(runs.workspace, 1, dry_run=False)
    found = runs.store.get_artifacts_by_id([artifact.id for artifact in old.values()])
    states = dict(zip(old, (artifact.state for artifact in found), strict=True))
    live = {name for name, state in states.items() if state == mlmd_pb2.Artifact.LIVE}
    assert live == existing(old) == {"cache", "memory", "model", "record"}  # the last run has read the first three
    assert set(states.values()) == {mlmd_pb2.Artifact.LIVE, mlmd_pb2.Artifact.DELETED}
    assert collect_garbage(runs.workspace, 1, dry_run=False).num_bytes == {}


def test_a_dry_run_tells_and_removes_nothing(runs: Runs) -> None:
    old = runs.run("a", pushed=False)
    runs.run("b")
    done = CliRunner().invoke(cli, ["gc", "--workspace", str(runs.workspace.root), "--keep-runs", "1", "--dry-run"])
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "what how many MB"
    assert "Evaluator/ModelEvaluation 1 0.0" in lines
    assert lines[-1] == "0.0 MB would be free"
    assert existing(old) == set(old)


def test_what_is_elsewhere_is_left_alone(runs: Runs, tmp_path: Path) -> None:
    runs.begin("a")
    (artifact,) = runs.put("Importer", [], "Model")
    artifact.uri = str(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    runs.store.put_artifacts([artifact])
    runs.run("b")
    collect_garbage(runs.workspace, 1, dry_run=False)
    assert (tmp_path / "elsewhere").exists()
