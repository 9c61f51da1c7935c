"""The data gates stop the run with an explanation, or let it pass."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts

from components.artifact_types import GateVerdict, Quarantine
from components.artifacts import UNFIT
from components.data_validation.gates import AnomalyGate, RowGate, anomalies_found
from transform.errors import GateError


def parameters(accept_reason: str = "") -> dict[str, str]:
    return {"code_fingerprint": "x", "accept_reason": accept_reason}


def row_gate(unfit: str | None, accept_reason: str = "") -> GateVerdict:
    examples = standard_artifacts.Examples()
    if unfit is not None:
        examples.set_string_custom_property(UNFIT, unfit)
    verdict, quarantine = GateVerdict(), Quarantine()
    quarantine.uri = "quarantine/7"
    gate = RowGate.EXECUTOR_SPEC.executor_class()
    gate.Do({"examples": [examples], "quarantine": [quarantine]}, {"verdict": [verdict]}, parameters(accept_reason))
    return verdict


@pytest.mark.parametrize("unfit", ["", None])
def test_fit_rows_pass(unfit: str | None) -> None:
    assert not row_gate(unfit, "just in case").has_custom_property("accept_reason")


def test_unfit_rows_stop_the_run_with_their_sentence() -> None:
    with pytest.raises(GateError) as caught:
        row_gate("at most 1.00% of the impressions may be rejected")
    assert str(caught.value) == (
        "at most 1.00% of the impressions may be rejected; the rejected rows and the counts are in quarantine/7"
    )


def test_the_folder_that_an_earlier_release_wrote_into_the_sentence_is_not_part_of_the_finding() -> None:
    verdict = row_gate("at most 1.00% may be rejected; they are in quarantine/7", "the bots were banned at noon")
    assert verdict.get_string_custom_property("accepted") == "at most 1.00% may be rejected"


def test_what_a_person_accepts_passes_and_is_on_record() -> None:
    verdict = row_gate("at most 1.00% of the impressions may be rejected", "the bots were banned at noon")
    assert verdict.get_string_custom_property("accept_reason") == "the bots were banned at noon"
    assert verdict.get_string_custom_property("accepted") == "at most 1.00% of the impressions may be rejected"
    assert verdict.get_string_custom_property("accepted_by") == getpass.getuser()


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


def anomaly_gate(artifact: standard_artifacts.ExampleAnomalies, accept_reason: str = "") -> GateVerdict:
    verdict = GateVerdict()
    gate = AnomalyGate.EXECUTOR_SPEC.executor_class()
    gate.Do({"anomalies": [artifact]}, {"verdict": [verdict]}, parameters(accept_reason))
    return verdict


def test_no_anomaly_passes(tmp_path: Path) -> None:
    anomaly_gate(write(tmp_path, train=anomalies(), eval=anomalies()))


def test_an_anomaly_in_any_split_stops_the_run(tmp_path: Path) -> None:
    artifact = write(tmp_path, train=anomalies(), eval=anomalies(price="Column dropped ", app="No value. "))
    with pytest.raises(GateError) as caught:
        anomaly_gate(artifact)
    sentence = "the eval split does not fit the schema: app: No value.; price: Column dropped"
    assert str(caught.value) == sentence
    assert anomaly_gate(artifact, "the app went").get_string_custom_property("accepted") == sentence


def test_an_anomaly_of_the_whole_data_set_stops_the_run() -> None:
    found = anomalies()
    found.dataset_anomaly_info.description = "Too few examples."
    found.dataset_anomaly_info.reason.add(short_description="few")
    assert anomalies_found(found, "train") == ["the train split does not fit the schema: Too few examples"]
