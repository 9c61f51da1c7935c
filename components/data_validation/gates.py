"""The data gates, which stop the run with an explanation before a model is trained on bad rows."""

# TFX reads the annotations of a function component at import, so they are not postponed here.

import os
from collections.abc import Sequence

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.example_validator import executor as example_validator
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components.artifact_types import GateVerdict, Quarantine
from components.artifacts import UNFIT
from components.execution_types import recorded_as
from components.lineage import ACCEPT_REASON, ACCEPTED, ACCEPTED_BY, read_finding
from components.model_store.versions import user
from transform.errors import GateError


def settle(found: Sequence[str], accept_reason: str, verdict: GateVerdict, place: str = "") -> None:
    """Stops the run if a gate found something, or lets the span through and records that a person accepted it.

    Args:
      found: The findings that stop the run, one sentence each; if empty, the span passes.
      accept_reason: Why a person accepts all findings; empty if nobody does.
      verdict: The gate's output; its custom properties record what was accepted, why and by whom.
      place: Where more of the findings is, as a sentence; it ends the message, and is not part of what is accepted.

    Raises:
      GateError: If there are findings and nobody accepts them.
    """
    if not found:
        return
    sentences = "; ".join(found)
    if not accept_reason:
        raise GateError(f"{sentences}{place and f'; {place}'}")
    verdict.set_string_custom_property(ACCEPTED, sentences)
    verdict.set_string_custom_property(ACCEPT_REASON, accept_reason)
    verdict.set_string_custom_property(ACCEPTED_BY, user())


@recorded_as("components.gates.RowGate")
@component  # type: ignore[untyped-decorator]
def RowGate(
    examples: InputArtifact[standard_artifacts.Examples],
    quarantine: InputArtifact[Quarantine],
    verdict: OutputArtifact[GateVerdict],
    accept_reason: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Stops the run if ingestion found its rows unfit: too many rejected, an unusable file, a label missing."""
    del code_fingerprint  # part of the cache key
    problem = read_finding(examples.get_string_custom_property(UNFIT))
    place = f"the rejected rows and the counts are in {quarantine.uri}"
    settle([problem] if problem else [], accept_reason, verdict, place)


def anomalies_found(anomalies: anomalies_pb2.Anomalies, split: str) -> list[str]:
    """Returns TFDV's anomalies of a split as one sentence; empty if there are none."""
    of_all = anomalies.dataset_anomaly_info
    found = [f"{name}: {info.description.strip()}" for name, info in sorted(anomalies.anomaly_info.items())]
    words = of_all.description.strip() if of_all.reason else "; ".join(found)
    return [f"the {split} split does not fit the schema: {words.removesuffix('.')}"] if words else []


@recorded_as("components.gates.AnomalyGate")
@component  # type: ignore[untyped-decorator]
def AnomalyGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    verdict: OutputArtifact[GateVerdict],
    accept_reason: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Stops the run if ExampleValidator found an anomaly."""
    del code_fingerprint  # part of the cache key
    found = []
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        path = os.path.join(anomalies.uri, f"Split-{split}", example_validator.DEFAULT_FILE_NAME)
        with tf.io.gfile.GFile(path, "rb") as file:
            found += anomalies_found(anomalies_pb2.Anomalies.FromString(file.read()), split)
    settle(found, accept_reason, verdict)
