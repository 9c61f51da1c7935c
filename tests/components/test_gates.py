"""The gates stop the run in words, or let it pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts

from components.artifacts import UNFIT
from components.gates import AnomalyGate, RowGate, check_anomalies
from transform.errors import GateError

FINGERPRINT = {"code_fingerprint": "x"}


def row_gate(unfit: str | None) -> None:
    examples = standard_artifacts.Examples()
    if unfit is not None:
        examples.set_string_custom_property(UNFIT, unfit)
    RowGate.EXECUTOR_SPEC.executor_class().Do({"examples": [examples]}, {}, FINGERPRINT)


@pytest.mark.parametrize("unfit", ["", None])
def test_fit_rows_pass(unfit: str | None) -> None:
    row_gate(unfit)


def test_unfit_rows_stop_the_run_with_their_sentence() -> None:
    with pytest.raises(GateError) as caught:
        row_gate("at most 1.00% of the impressions may be rejected")
    assert str(caught.value) == "at most 1.00% of the impressions may be rejected"


def anomalies(**found: str) -> anomalies_pb2.Anomalies:
    result = anomalies_pb2.Anomalies()
    for name, description in found.items():
        result.anomaly_info[name].description = description
    return result


def write(folder: Path, **splits: anomalies_pb2.Anomalies) -> standard_artifacts.ExampleAnomalies:
    artifact = standard_artifacts.ExampleAnomalies()
    artifact.uri = str(folder)
    artifact.split_names = str(list(splits)).replace("'", '"')
    for split, value in splits.items():
        (folder / f"Split-{split}").mkdir()
        (folder / f"Split-{split}" / "SchemaDiff.pb").write_bytes(value.SerializeToString())
    return artifact


def anomaly_gate(artifact: standard_artifacts.ExampleAnomalies) -> None:
    AnomalyGate.EXECUTOR_SPEC.executor_class().Do({"anomalies": [artifact]}, {}, FINGERPRINT)


def test_no_anomaly_passes(tmp_path: Path) -> None:
    anomaly_gate(write(tmp_path, train=anomalies(), eval=anomalies()))


def test_an_anomaly_in_any_split_stops_the_run(tmp_path: Path) -> None:
    artifact = write(tmp_path, train=anomalies(), eval=anomalies(price="Column dropped ", app="No value. "))
    with pytest.raises(GateError) as caught:
        anomaly_gate(artifact)
    assert str(caught.value) == "the eval split does not fit the schema: app: No value.; price: Column dropped"


def test_an_anomaly_of_the_whole_data_set_stops_the_run() -> None:
    found = anomalies()
    found.dataset_anomaly_info.description = "Too few examples."
    found.dataset_anomaly_info.reason.add(short_description="few")
    with pytest.raises(GateError) as caught:
        check_anomalies(found, "train")
    assert str(caught.value) == "the train split does not fit the schema: Too few examples."
