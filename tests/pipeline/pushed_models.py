"""Workspaces with pushed models, as a pipeline's nodes record them, and `wdr models …` on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2

from components import storage
from components.evaluation.progressive import ProgressiveEvaluator
from components.ingestion.counts import Counts
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version, versions
from pipeline.cli.main import cli
from pipeline.workspace import Workspace
from tests.components.evaluations import write_evaluation


class Store:
    """Writes what a pipeline's nodes write into ML Metadata and into the serving folder."""

    def __init__(self, workspace: Workspace, name: str = "store"):
        self.workspace = workspace
        self.root = str(workspace.serving(name))
        self.store = mlmd.MetadataStore(workspace.metadata_connection())
        type_id = self.store.put_context_type(mlmd_pb2.ContextType(name="pipeline"))
        (context_id,) = self.store.put_contexts([mlmd_pb2.Context(type_id=type_id, name=name)])
        (self.context,) = self.store.get_contexts_by_id([context_id])

    def put(self, node: str, read: list[Any], made: dict[str, str], **properties: str) -> list[Any]:
        """Writes an execution with outputs, given by type and URI; returns the outputs."""
        execution = mlmd_pb2.Execution(type_id=self.store.put_execution_type(mlmd_pb2.ExecutionType(name=node)))
        for name, value in properties.items():
            execution.custom_properties[name].string_value = value
        outputs = [
            mlmd_pb2.Artifact(type_id=self.store.put_artifact_type(mlmd_pb2.ArtifactType(name=kind)), uri=uri)
            for kind, uri in made.items()
        ]
        event = mlmd_pb2.Event
        pairs = [(a, event(type=event.INPUT)) for a in read] + [(a, event(type=event.OUTPUT)) for a in outputs]
        _, ids, _ = self.store.put_execution(execution, pairs, [self.context])
        return list(self.store.get_artifacts_by_id(ids[len(read) :]))

    def ingest(self, span: int, data: Path) -> Any:
        """Writes a span's Examples: 100 rows read, 3 of them rejected."""
        quarantine = self.workspace.artifacts / f"quarantine-{span}"
        counts = Counts(
            span=span,
            read={"impressions": 100, "apps": 7},
            rejected={"impressions": {"bad_label": 2, "no_id": 1}},
            labels={"train": {"0": 60, "1": 17}, "eval": {"0": 10, "1": 10}},
        )
        storage.write_text(str(quarantine / "counts.json"), counts.to_json())
        files = {
            "impressions": {"": [f"{data}/day-{span}/a.csv", f"{data}/day-{span}/b.csv"]},
            "apps": {"": [f"{data}/apps.csv"]},
        }
        examples, _ = self.put(
            "ImpressionGen", [], {"Examples": f"/e/{span}", "Quarantine": str(quarantine)}, files=json.dumps(files)
        )
        examples.custom_properties["span"].int_value = span
        self.store.put_artifacts([examples])
        return examples

    def push(self, examples: list[Any], config: dict[str, Any] | None = None, **manifest: Any) -> int:
        """Writes a model trained on Examples and pushes it; returns the version."""
        number = len(versions(self.root)) + 1
        (transformed,) = self.put("Transform", examples, {"Examples": f"/t/{number}"})
        (model,) = self.put("Trainer", [transformed], {"Model": f"/m/{number}"})

        def fill(folder: str) -> None:
            storage.write_text(f"{folder}/saved_model.pb", str(number))
            storage.write_text(f"{folder}/assets/app_vocabulary", "a\n" * (10 + number))
            storage.write_text(f"{folder}/assets.extra/config.json", json.dumps({"spec": {}, **(config or {})}))

        spans = sorted(a.custom_properties["span"].int_value for a in examples)
        lineage = Manifest(model_uri=model.uri, model_id=model.id, spans=tuple(spans), **manifest)
        version = add_version(self.root, fill, lineage)
        (pushed,) = self.put("Push", [model, *examples], {"PushedModel": f"/p/{number}"})
        pushed.custom_properties["pushed"].int_value = 1
        pushed.custom_properties["version"].int_value = version
        pushed.custom_properties["model_id"].int_value = model.id
        pushed.custom_properties["pushed_destination"].string_value = f"{self.root}/{version}"
        self.store.put_artifacts([pushed])
        return version


def wdr(store: Store, *arguments: str) -> str:
    """Runs `wdr models …`, which must succeed; returns what it printed, with single spaces."""
    done = CliRunner().invoke(cli, ["models", *arguments, "--workspace", str(store.workspace.root)])
    assert done.exception is None, done.exception
    return "\n".join(" ".join(line.split()) for line in done.stdout.splitlines())


def refused(store: Store, *arguments: str) -> str:
    """Runs `wdr models …`, which must fail; returns the message."""
    done = CliRunner().invoke(cli, ["models", *arguments, "--workspace", str(store.workspace.root)])
    assert done.exception is not None
    return str(done.exception)


def evaluate(store: Store, examples: Any, *models: Any, auc: float, before: float | None = None) -> None:
    """Writes a progressive validation of models, the earlier model first, on the examples of a span."""
    folder = store.workspace.artifacts / f"evaluation-{examples.custom_properties['span'].int_value}"
    folder.mkdir(parents=True)
    write_evaluation(folder, auc, before)
    store.put(ProgressiveEvaluator.get_class_type(), [examples, *models], {"ModelEvaluation": str(folder)})


def model_of(store: Store, version: int) -> Any:
    (model,) = store.store.get_artifacts_by_uri(f"/m/{version}")
    return model


def push_on_three_days(store: Store, tmp_path: Path) -> Store:
    """One version per day; versions 1 and 2 were validated on span 3, versions 2 and 3 on span 4."""
    examples = [store.ingest(span, tmp_path) for span in (1, 2, 3, 4)]
    store.push(examples[:1], metrics={"candidate": {"auc": 0.9}})
    store.push(
        examples[1:2],
        metrics={"candidate": {"auc": 0.6}, "baseline": {"auc": 0.5}},
        baseline={"model_uri": "/m/1", "version": 1},
    )
    store.push(examples[2:3], metrics={"candidate": {"auc": 0.7}})
    first, second, third = (model_of(store, version) for version in (1, 2, 3))
    evaluate(store, examples[1], first, auc=0.55)
    evaluate(store, examples[2], first, second, auc=0.65, before=0.61)
    evaluate(store, examples[3], second, third, auc=0.64, before=0.62)
    return store
