"""Channels of what all runs of the pipeline have produced, and the gates by which resolvers choose among it."""

from __future__ import annotations

from tfx.types import Artifact, Channel, standard_artifacts

from components.data_validation.component import DataGate
from components.data_validation.gates import AnomalyGate

#: The gates that stop a span because of its data. A span that one of them read and did not pass is never a reference.
GATES_ON_DATA = [AnomalyGate.get_class_type(), DataGate.get_class_type()]


def all_runs_channel(artifact_type: type[Artifact], output_name: str) -> Channel:
    """Returns a channel of all artifacts that the pipeline's runs produced as an output of this name and type."""
    return Channel(type=artifact_type, output_key=output_name)


def all_models() -> Channel:
    """Returns a channel of all models that the pipeline's runs trained."""
    return all_runs_channel(standard_artifacts.Model, "model")
