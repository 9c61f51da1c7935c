"""The gates on data: they stop the run, in words, before anything is learned from bad rows."""

# TFX reads the annotations of a function component at import, so they are not postponed here.

import os

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.components.example_validator import executor as example_validator
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME as STATISTICS_FILE
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


def drift_found(anomalies_uri: str) -> list[str]:
    """A sentence for each feature that DistributionValidator found further from the baseline's than is allowed."""
    found = []
    for path in sorted(tf.io.gfile.glob(os.path.join(anomalies_uri, "SplitPair-*", "*"))):
        split = os.path.basename(os.path.dirname(path)).removeprefix("SplitPair-").partition("_")[0]
        with tf.io.gfile.GFile(path, "rb") as file:
            info = anomalies_pb2.Anomalies.FromString(file.read()).anomaly_info
        for name in sorted(info):
            found += [f"{name} ({split} split): {reason.description}" for reason in info[name].reason]
    return found


def num_examples(statistics_uri: str) -> int:
    """The number of examples, of all splits, that statistics were made of."""
    number = 0
    for path in tf.io.gfile.glob(os.path.join(statistics_uri, "Split-*", STATISTICS_FILE)):
        with tf.io.gfile.GFile(path, "rb") as file:
            number += statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read()).datasets[0].num_examples
    return number


@component  # type: ignore[untyped-decorator]
def DriftGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    action: Parameter[str],
    min_rows_ratio: Parameter[float],
    code_fingerprint: Parameter[str],
    baseline_statistics: InputArtifact[standard_artifacts.ExampleStatistics] = None,
) -> None:
    """Stops the run if its span has drifted from the baseline's, or, with the action `warn`, lets the drift pass.

    A span with too few of the baseline's rows stops the run always.
    """
    del code_fingerprint  # in the cache's key
    if baseline_statistics is not None:
        number, before = num_examples(statistics.uri), num_examples(baseline_statistics.uri)
        if number < min_rows_ratio * before:
            raise GateError(
                f"a span must have at least {min_rows_ratio} times the examples of the last span that was let through, "
                f"{before:,} (drift.min_rows_ratio). Received: {number:,}"
            )
    found = drift_found(anomalies.uri)
    if found and action == "stop":
        raise GateError(f"the examples have drifted from the last span let through: {'; '.join(found)}")
