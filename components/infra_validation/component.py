"""Infra validation without Docker: the exported model must answer in a clean process before it may be pushed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils, path_utils

from transform.feature_spec import LABEL, WEIGHT

#: In the InfraBlessing artifact: the dry run's verdict.
VERDICT_FILE = "verdict.json"


def raw_requests(examples: types.Artifact, split: str, number: int) -> Iterator[bytes]:
    """Up to `number` examples of a split as a request has them: without label and weight."""
    pattern = os.path.join(artifact_utils.get_split_uri([examples], split), "*")
    records = tf.data.TFRecordDataset(sorted(tf.io.gfile.glob(pattern)), compression_type="GZIP")
    for record in records.take(number).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        for name in (LABEL, WEIGHT):
            example.features.feature.pop(name, None)
        yield example.SerializeToString()


def dry_run(model_path: str, requests: Iterator[bytes], timeout_seconds: float) -> dict[str, Any]:
    """Runs `serving.dry_run` in a process of its own.

    Args:
      model_path: The SavedModel.
      requests: Serialized tf.Examples.
      timeout_seconds: For the whole process.

    Returns:
      The verdict; its `problem` is empty if the model may be pushed.
    """
    with tempfile.TemporaryDirectory() as folder:
        if "://" in model_path:
            io_utils.copy_dir(model_path, os.path.join(folder, "model"))
            model_path = os.path.join(folder, "model")
        requests_path, verdict_path = os.path.join(folder, "requests"), os.path.join(folder, "verdict")
        number = 0
        with tf.io.TFRecordWriter(requests_path) as writer:
            for request in requests:
                writer.write(request)
                number += 1
        if number < 2:  # the scores of one request cannot differ
            return {"problem": f"there must be at least 2 examples to score. Received: {number}"}
        command = [sys.executable, "-m", "serving.dry_run"]
        command += ["--model", model_path, "--requests", requests_path, "--verdict", verdict_path]
        top = str(Path(__file__).resolve().parents[2])
        try:
            done = subprocess.run(
                command, cwd=top, capture_output=True, text=True, timeout=timeout_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return {"problem": f"the model must answer within {timeout_seconds:g} seconds; it hung"}
        if done.returncode != 0:
            last_line = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no word")
            return {"problem": f"the model's process ended with exit code {done.returncode}: {last_line.strip()}"}
        verdict: dict[str, Any] = json.loads(Path(verdict_path).read_text(encoding="utf-8"))
        return verdict


class InfraValidationSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of InfraValidation."""

    PARAMETERS = {
        "num_requests": ExecutionParameter(type=int),
        "timeout_seconds": ExecutionParameter(type=float),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class InfraValidationExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Runs the dry run and blesses, or says why not."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        (blessing,) = output_dict["blessing"]
        model = artifact_utils.get_single_instance(input_dict["model"])
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        verdict = dry_run(
            path_utils.serving_model_path(model.uri),
            raw_requests(examples, "eval", exec_properties["num_requests"]),
            exec_properties["timeout_seconds"],
        )
        io_utils.write_string_file(os.path.join(blessing.uri, VERDICT_FILE), json.dumps(verdict, indent=2))
        blessed = not verdict["problem"]
        blessing.set_int_custom_property("blessed", int(blessed))
        if not blessed:
            logging.error("infra validation: %s", verdict["problem"])


class InfraValidation(base_component.BaseComponent):  # type: ignore[misc]
    """Blesses a model that loads and answers in a process of its own."""

    SPEC_CLASS = InfraValidationSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(InfraValidationExecutor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        num_requests: int,
        timeout_seconds: float,
        code_fingerprint: str,
    ):
        """Declares the component.

        Args:
          model: The trained model.
          examples: Whose eval split's raw examples it must score.
          num_requests: How many of them.
          timeout_seconds: For load and answers together.
          code_fingerprint: Of the code that validates; part of the cache's key.
        """
        super().__init__(
            spec=InfraValidationSpec(
                num_requests=num_requests,
                timeout_seconds=timeout_seconds,
                code_fingerprint=code_fingerprint,
                model=model,
                examples=examples,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
