"""The components: DataValidation measures and records a span from its examples, and DataGate stops it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import storage
from components.artifact_types import GateRecord, GateVerdict, Quarantine
from components.artifacts import EVIDENCE_FILE
from components.data_validation.component import DataGate, DataValidationExecutor
from components.data_validation.evidence import SpanEvidence
from components.data_validation.reading import read_examples, to_columns
from components.gate_records import read_record
from components.ingestion.evidence import Evidence, LabelCount
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from tests.components.data_validation.store_config import CONFIG
from tests.components.saved_models import export
from transform.config.component_configs import for_data_validation
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.errors import GateError


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(CONFIG, "store.yaml")


def serialized(number: int, country: str) -> bytes:
    features = tf.train.Example().features
    features.feature["label"].int64_list.value.append(int(number % 10 == 0))
    features.feature["request_id"].bytes_list.value.append(f"r{number // 4}".encode())
    features.feature["country"].bytes_list.value.append(country.encode())
    features.feature["app_id"].bytes_list.value.append(f"app{number % 7}".encode())
    if number % 3:
        features.feature["installed"].bytes_list.value.extend([b"app1", b"app2"])
        features.feature["price"].float_list.value.append(number % 5)
    return tf.train.Example(features=features).SerializeToString()  # type: ignore[no-any-return]


class Spans:
    """Validates one span after the other, each with the records of the spans before it."""

    def __init__(self, folder: Path, config: Config):
        self._folder, self._config, self.serving_root = folder, config, str(folder / "serving")
        self.records: list[GateRecord] = []

    def examples(self, span: int, germans: int) -> standard_artifacts.Examples:
        """Writes 200 examples in each of two splits; `germans` in a hundred are from one country."""
        artifact = standard_artifacts.Examples()
        artifact.uri, artifact.split_names = str(self._folder / f"examples-{span}"), '["train", "eval"]'
        for split in ("train", "eval"):
            (Path(artifact.uri) / f"Split-{split}").mkdir(parents=True)
            with tf.io.TFRecordWriter(f"{artifact.uri}/Split-{split}/data.gz", "GZIP") as writer:
                for n in range(200):
                    writer.write(serialized(n, "de" if n % 100 < germans else "fr"))
        return artifact

    def validate(self, span: int, germans: int, serving: standard_artifacts.Model | None = None) -> GateRecord:
        quarantine = Quarantine()
        quarantine.uri = str(self._folder / f"quarantine-{span}")
        Path(quarantine.uri).mkdir()
        evidence = Evidence(span=span, labels=LabelCount(360, 40))
        (Path(quarantine.uri) / EVIDENCE_FILE).write_text(evidence.to_json())
        record = GateRecord()
        record.uri = str(self._folder / f"record-{span}")
        inputs: dict[str, list[Any]] = {
            "examples": [self.examples(span, germans)],
            "quarantine": [quarantine],
            "earlier_records": list(self.records),
            "serving_model": [serving] if serving else [],
        }
        parameters = {
            "config": for_data_validation(self._config).to_json(),
            "settings": '{"max_divergence": {"country": 0.05}}',
            "serving_root": self.serving_root,
        }
        DataValidationExecutor().Do(inputs, {"record": [record]}, parameters)
        self.records.append(record)
        return record


def gate(record: GateRecord, accept_reason: str = "") -> GateVerdict:
    verdict = GateVerdict()
    parameters = {"accept_reason": accept_reason, "code_fingerprint": "x"}
    DataGate.EXECUTOR_SPEC.executor_class().Do({"record": [record]}, {"verdict": [verdict]}, parameters)
    return verdict


def test_a_drifted_span_is_put_on_record_and_stopped_until_a_person_accepts_it(tmp_path: Path, config: Config) -> None:
    spans = Spans(tmp_path, config)
    gate(spans.validate(1, germans=80))
    gate(spans.validate(2, germans=78))
    drifted = spans.validate(3, germans=20)
    assert drifted.get_string_custom_property("gate") == "data_gate"
    assert drifted.get_int_custom_property("span") == 3
    with pytest.raises(GateError) as raised:
        gate(drifted)
    sentence = read_record(drifted.uri).of_severity("stop")[0].sentence
    assert sentence.startswith("the distribution of country must be within a divergence of 0.0500 of that of an ")
    assert sentence.endswith(" from the nearest, span 2 (de 20.0% after 78.0%)")
    assert str(raised.value) == sentence
    assert gate(drifted, "a new market").get_string_custom_property("accept_reason") == "a new market"


def test_the_record_has_all_that_the_decision_was_made_of(tmp_path: Path, config: Config) -> None:
    evidence = SpanEvidence.from_inputs(read_record(Spans(tmp_path, config).validate(1, germans=80).uri).inputs)
    assert evidence.features["country"].top == {"de": 320, "fr": 80}
    assert (evidence.num_requests, evidence.whole.positives, evidence.model) == (50, 40, None)
    assert evidence.features["price"].num_missing == 2 * 67


def test_a_baseline_that_reads_what_the_examples_lack_does_not_score_the_span(tmp_path: Path, config: Config) -> None:
    spans, model = Spans(tmp_path, config), standard_artifacts.Model()
    model.uri = str(tmp_path / "no files, so that to score with it would be an error")

    def fill(folder: str) -> None:
        version_config = {"spec": {"features": [{"name": "country"}, {"name": "gone"}]}}
        storage.write_text(f"{folder}/assets.extra/config.json", json.dumps(version_config))

    add_version(spans.serving_root, fill, Manifest(model_uri=model.uri))
    record = read_record(spans.validate(1, germans=80, serving=model).uri)
    assert SpanEvidence.from_inputs(record.inputs).model is None
    sentence = "the baseline's scores of the span are not measured: version 1 reads gone, which the examples"
    assert any(f.sentence.startswith(sentence) for f in record.of_severity("cannot_judge"))


def test_a_baseline_that_cannot_score_the_span_is_said_with_the_reason(tmp_path: Path, config: Config) -> None:
    """The model needs a feature that the span's examples do not have."""
    spans, model = Spans(tmp_path, config), standard_artifacts.Model()
    model.uri = str(export("other input", tmp_path / "model"))
    record = read_record(spans.validate(1, germans=80, serving=model).uri)
    assert SpanEvidence.from_inputs(record.inputs).model is None
    sentence = "the baseline's scores of the span are not measured: the model cannot score the rows: "
    assert any(f.sentence.startswith(sentence) for f in record.of_severity("cannot_judge"))


def test_examples_of_both_splits_become_columns(tmp_path: Path, config: Config) -> None:
    examples = read_examples(Spans(tmp_path, config).examples(1, germans=80))
    columns = to_columns(examples, config)
    assert len(examples) == 400
    assert columns.label.sum() == 40
    assert columns.tokens["installed"].num_missing == 2 * 67
