"""The gates on data: they stop the run, in words, before anything is learned from bad rows."""

# TFX reads the annotations of a function component at import, so they are not postponed here.

import os

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator import executor as example_validator
from tfx.dsl.component.experimental.annotations import InputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import UNFIT
from transform.errors import GateError


@component  # type: ignore[untyped-decorator]
def RowGate(
    examples: InputArtifact[standard_artifacts.Examples],
    code_fingerprint: Parameter[str],
) -> None:
    """Stops the run if ingestion found its rows unfit: too many rejected, an unusable file, a label missing."""
    del code_fingerprint  # in the cache's key
    problem = examples.get_string_custom_property(UNFIT)
    if problem:
        raise GateError(problem)


def check_anomalies(anomalies: anomalies_pb2.Anomalies, split: str) -> None:
    """Raises GateError if TFDV found an anomaly."""
    if anomalies.dataset_anomaly_info.reason:
        raise GateError(
            f"the {split} split does not fit the schema: {anomalies.dataset_anomaly_info.description.strip()}"
        )
    found = [f"{name}: {info.description.strip()}" for name, info in sorted(anomalies.anomaly_info.items())]
    if found:
        raise GateError(f"the {split} split does not fit the schema: {'; '.join(found)}")


@component  # type: ignore[untyped-decorator]
def AnomalyGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    code_fingerprint: Parameter[str],
) -> None:
    """Stops the run if ExampleValidator found an anomaly."""
    del code_fingerprint  # in the cache's key
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        path = os.path.join(anomalies.uri, f"Split-{split}", example_validator.DEFAULT_FILE_NAME)
        with tf.io.gfile.GFile(path, "rb") as file:
            check_anomalies(anomalies_pb2.Anomalies.FromString(file.read()), split)
