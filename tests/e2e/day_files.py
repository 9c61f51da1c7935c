"""The files of a day's nodes, to compare a day whose Beam jobs ran on workers with one in memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from components.evaluation.executor import ColumnExecutor
from pipeline.beam_options import LOCAL_BEAM_ARGS


def has_read_rows(workspace: Path) -> bool:
    """Returns whether ingestion has read a part of the logs; folders that vanish meanwhile are passed over."""
    return any(name.startswith("rows-") for _, folders, files in os.walk(workspace) for name in (*folders, *files))


def wait_until(ready: Callable[[], object], timeout_seconds: float = 300) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def evaluated(workspace: Path, evaluation: Path, folder: Path) -> Path:
    """Evaluates the workspace's model once more, in memory; returns the folder of the results."""

    def artifact(kind: type[Any], uri: Path) -> Any:
        made = kind()
        made.uri = str(uri)
        return made

    examples = artifact(standard_artifacts.Examples, only(workspace, "example_gen", "examples"))
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    inputs: dict[str, list[types.Artifact]] = {
        "examples": [examples],
        "model": [artifact(standard_artifacts.Model, only(workspace, "trainer", "model"))],
        "schema": [artifact(standard_artifacts.Schema, only(workspace, "schema_gen", "schema"))],
    }
    result = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
    eval_config = json.loads((evaluation / "eval_config.json").read_text())["evalConfig"]
    context = ColumnExecutor.Context(beam_pipeline_args=list(LOCAL_BEAM_ARGS), tmp_dir=str(folder), unique_id="1")
    ColumnExecutor(context).Do(
        inputs, {"evaluation": [result]}, {"eval_config": json.dumps(eval_config), "example_splits": '["eval"]'}
    )
    return folder / "evaluation"


def files(workspace: Path, node: str) -> dict[str, bytes]:
    """Returns the files of a node's outputs by name, without the numbers of the executions."""
    root = workspace / "artifacts" / node
    found = {}
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if path.is_file() and parts[0] != ".system":
            found["/".join(part for part in parts if not part.isdecimal())] = path.read_bytes()
    return found


def transformed(workspace: Path) -> dict[str, list[bytes]]:
    """Returns the transformed rows by split, with the features of each in the order of their names."""
    folder = only(workspace, "transform", "transformed_examples")
    return {
        split: [
            tf.train.Example.FromString(record).SerializeToString(deterministic=True)
            for path in sorted((folder / f"Split-{split}").iterdir())
            for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
        ]
        for split in ("eval", "train")
    }


def only(workspace: Path, node: str, output: str) -> Path:
    """Returns the folder of a node's one artifact."""
    (folder,) = (workspace / "artifacts" / node / output).iterdir()
    return folder
