"""Helpers that run the infra validation as the pipeline does: on artifacts, through its executor."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.artifact_types import Catalog
from components.artifacts import VERDICT_FILE
from components.infra_validation import process
from components.infra_validation.component import InfraValidatorExecutor
from serving.dry_run.worker_commands import converse
from transform.config import component_configs as scopes
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.config.infra_validation import InfraValidation


def examples_artifact(folder: Path, **splits: Iterable[bytes]) -> standard_artifacts.Examples:
    """Writes Examples in ingestion's layout, with two files per split that take the examples in turns."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = json.dumps(list(splits))
    for split, examples in splits.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        writers = [tf.io.TFRecordWriter(str(folder / f"Split-{split}" / f"data-{part}.gz"), "GZIP") for part in "01"]
        for i, example in enumerate(examples):
            writers[i % 2].write(example)
        for writer in writers:
            writer.close()
    return artifact


#: The config of the models of `tests.components.saved_models`, which score examples and do not rank.
RANKS_NOTHING = parse_config(
    {
        "name": "small",
        "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
        "features": [{"name": "x", "side": "item", "kind": "numeric", "num_quantiles": 2}],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    },
    "test",
)


def validate(
    settings: InfraValidation,
    model_folder: Path,
    window: list[standard_artifacts.Examples],
    out: Path,
    baseline: Path | None = None,
    *,
    config: Config = RANKS_NOTHING,
    catalog_folder: Path | None = None,
) -> dict[str, Any]:
    """Runs the executor; returns the verdict with `blessed` added."""
    catalog = Catalog()
    catalog.uri = str(catalog_folder)
    scoped = scopes.for_infra_validation(dataclasses.replace(config, infra_validation=settings))
    model, serving_model, blessing = (
        kind() for kind in (standard_artifacts.Model, standard_artifacts.Model, standard_artifacts.InfraBlessing)
    )
    model.uri, serving_model.uri, blessing.uri = str(model_folder), str(baseline), str(out)
    out.mkdir(parents=True)
    InfraValidatorExecutor().Do(
        {
            "model": [model],
            "baseline_model": [serving_model] if baseline else [],
            "examples": window,
            "catalog": [catalog],
        },
        {"blessing": [blessing]},
        {"config": scoped.to_json(), "code_fingerprint": "x"},
    )
    verdict: dict[str, Any] = json.loads((out / VERDICT_FILE).read_text())
    return {**verdict, "blessed": blessing.get_int_custom_property("blessed")}


class _Thread:
    """A dry run's conversation on a thread of this process, with the methods that its starter calls of a process."""

    def __init__(self, started: list[threading.Thread], _: list[str], *, pass_fds: list[int], **__: object) -> None:
        (descriptor,) = pass_fds
        connection = Connection(os.dup(descriptor))  # the starter closes its own
        started.append(threading.Thread(target=converse, args=[connection], daemon=True))
        started[-1].start()

    def kill(self) -> None:
        """Does nothing: the thread ends when the starter closes the connection."""

    def wait(self) -> int:
        return 0


@contextlib.contextmanager
def on_threads() -> Iterator[None]:
    """Within the block, dry runs are threads of this process, which saves each the import of TensorFlow, 2.9 s of CPU.

    It is for models whose scores are wrong. Costs, crashes and hangs need a process of their own.
    """
    started: list[threading.Thread] = []
    starter = SimpleNamespace(Popen=functools.partial(_Thread, started), DEVNULL=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "subprocess", starter)
        yield
    # A thread frees its model after the starter has closed the connection; this process must not end before.
    for thread in started:
        thread.join()
