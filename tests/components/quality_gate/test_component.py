"""The QualityGate component: what it scores, records, and blesses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import gate_records
from components.artifact_types import GateRecord
from components.evaluation.metrics.paired import differences
from components.evaluation.metrics.score_values import ScoreValues
from components.evaluation.metrics.slope import calibration_slope
from components.evaluation.results import write_measured
from components.evaluation.scoring.kept_scores import keep_scores
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from components.quality_gate.component import QualityGateExecutor
from components.quality_gate.inputs import QualityInputs
from tests.components.evaluations import write_evaluation
from tests.components.saved_models import example, export
from tests.transform.small_config import small_config
from transform.config.component_configs import for_quality_gate
from transform.config.component_settings import QualitySettings
from transform.files.reference_scores import ReferenceScores, write_reference_scores

CONFIG = for_quality_gate(small_config(("evaluation.thresholds.auc", {"min": 0.65})))


def in_app(serialized: bytes, app: bytes) -> bytes:
    """Returns a tf.Example with the feature `app`."""
    found = tf.train.Example.FromString(serialized)
    found.features.feature["app"].bytes_list.value.append(app)
    changed: bytes = found.SerializeToString()
    return changed


class Gate:
    """Runs the gate on a model, with its own rows, evaluation and serving folder."""

    def __init__(self, folder: Path):
        self.root, self._folder, self._runs = str(folder / "serving"), folder, 0
        draw = np.random.default_rng(3)
        self.x = draw.normal(0, 1, 400)
        self.label = (draw.random(400) < 1 / (1 + np.exp(-self.x))).astype(int)
        self.examples = standard_artifacts.Examples()
        self.examples.uri, self.examples.split_names = str(folder / "span-4"), '["train", "eval"]'
        self.examples.set_int_custom_property("span", 4)
        (folder / "span-4" / "Split-eval").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "span-4" / "Split-eval" / "data.gz"), "GZIP") as writer:
            for x, label in zip(self.x, self.label, strict=True):
                writer.write(in_app(example(x, int(label)), b"a" if x < 0.5 else b"b"))
        self.evaluation = folder / "evaluation"
        self.evaluation.mkdir()
        write_evaluation(self.evaluation)

    def model(self, kind: str) -> Any:
        artifact = standard_artifacts.Model()
        artifact.uri = str(export(kind, self._folder / kind.replace(" ", "_")))
        return artifact

    def run(
        self,
        model: Any = None,
        anchor: Any = None,
        serving: Any = None,
        records: tuple[Any, ...] = (),
        config: QualitySettings = CONFIG,
    ) -> Any:
        """Returns the blessing, the record's artifact, and its content."""
        self._runs += 1
        evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
        record = GateRecord()
        evaluation.uri = str(self.evaluation)
        blessing.uri, record.uri = (str(self._folder / f"{name}-{self._runs}") for name in ("blessing", "record"))
        inputs = {
            "model": [model] if model else [],
            "serving_model": [serving] if serving else [],
            "anchor_model": [anchor] if anchor else [],
            "evaluation": [evaluation],
            "examples": [self.examples],
            "records": list(records),
        }
        parameters = {"config": config.to_json(), "recipe": "r", "serving_root": self.root, "code_fingerprint": "f"}
        QualityGateExecutor().Do(inputs, {"blessing": [blessing], "record": [record]}, parameters)
        assert os.listdir(blessing.uri) == ["BLESSED" if blessing.get_int_custom_property("blessed") else "NOT_BLESSED"]
        return blessing, record, gate_records.read_record(record.uri)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_a_first_model_is_judged_by_its_thresholds_and_put_on_record(gate: Gate) -> None:
    model = gate.model("good")
    blessing, artifact, record = gate.run(model)
    assert blessing.get_int_custom_property("blessed") == 1
    assert artifact.get_string_custom_property("gate") == record.gate == "quality"
    assert artifact.get_int_custom_property("span") == record.span == 4
    inputs = QualityInputs.from_json(record.inputs)
    assert (inputs.model_uri, inputs.recipe, inputs.serving_uri, inputs.anchor) == (model.uri, "r", "", None)
    assert inputs.whole.metrics == {"auc": 0.7}


def test_a_model_is_scored_beside_the_anchor_on_the_evaluation_rows(gate: Gate) -> None:
    """`constant` scores every row with 0.5, so its AUC is 0.5."""
    model, anchor = gate.model("good"), gate.model("constant")
    add_version(gate.root, lambda folder: None, Manifest(model_uri=anchor.uri))
    _, _, record = gate.run(model, anchor, serving=anchor)
    inputs = QualityInputs.from_json(record.inputs)
    assert inputs.score_values == ScoreValues(tied=0.0, certain=0, wrong=0)
    assert inputs.serving_tied == 1.0
    found = inputs.anchor
    assert found is not None
    assert (found.model_uri, found.version, found.problem) == (anchor.uri, 1, "")
    assert found.metrics["auc"] == pytest.approx(0.5)
    own = 1 / (1 + np.exp(-gate.x.astype(np.float32)))
    expected = differences(gate.label.astype(float), np.ones(400), np.arange(400), own, np.full(400, 0.5))
    assert set(found.differences) == set(expected)
    for name, difference in expected.items():
        assert found.differences[name].estimate == pytest.approx(difference.estimate, abs=1e-6)
        assert found.differences[name].standard_error == pytest.approx(difference.standard_error, rel=1e-4)


def keep(gate: Gate, model: Any, scores: np.ndarray) -> None:
    """Keeps scores of the gate's rows by a model in its evaluation, as the Evaluator does."""
    split = f"{gate.examples.uri}/Split-eval"
    keep_scores(str(gate.evaluation), f"{model.uri}/Format-Serving", [split], lambda: [scores])


def test_scores_that_the_evaluation_kept_are_used_in_place_of_the_models(gate: Gate) -> None:
    model, anchor = gate.model("no graph"), gate.model("no signature")  # neither can score a row
    keep(gate, model, 1 / (1 + np.exp(-gate.x)))
    keep(gate, anchor, np.full(400, 0.5))
    found = QualityInputs.from_json(gate.run(model, anchor)[2].inputs).anchor
    assert found is not None
    assert found.problem == ""
    assert found.metrics["auc"] == pytest.approx(0.5)
    own = 1 / (1 + np.exp(-gate.x.astype(np.float32)))
    expected = differences(gate.label.astype(float), np.ones(400), np.arange(400), own, np.full(400, 0.5))
    assert found.differences["auc"].estimate == pytest.approx(expected["auc"].estimate, abs=1e-6)


def test_kept_scores_are_those_of_the_model_and_of_all_rows(gate: Gate) -> None:
    model, anchor = gate.model("good"), gate.model("constant")
    keep(gate, model, np.full(399, 0.5))  # of other rows
    keep(gate, anchor, np.append(np.full(399, 0.5), np.nan))
    found = QualityInputs.from_json(gate.run(model, anchor)[2].inputs).anchor
    assert found is not None
    assert found.problem.startswith("scores must be finite. Received: others, of 400 rows (")
    keep(gate, gate.model("slow"), np.full(400, 0.9))  # of another model
    keep(gate, anchor, np.full(400, 0.5))
    found = QualityInputs.from_json(gate.run(model, anchor)[2].inputs).anchor
    assert found is not None
    assert found.differences["auc"].estimate > 0.1


def test_an_anchor_that_cannot_score_the_rows_refuses_nothing_and_is_said(gate: Gate) -> None:
    blessing, _, record = gate.run(gate.model("good"), gate.model("other input"))
    assert blessing.get_int_custom_property("blessed") == 1
    assert any("the model cannot score the rows" in f.sentence for f in record.of_severity("cannot_judge"))


def test_a_baseline_that_reads_what_the_examples_lack_is_not_compared(gate: Gate) -> None:
    """The evaluation has an AUC of 0.7 for the candidate and 0.8 for the baseline: a change of -0.1 ± 0.02."""
    serving = gate.model("good")

    def fill(folder: str) -> None:
        os.makedirs(f"{folder}/assets.extra")
        config = {"spec": {"features": [{"name": "app"}, {"name": "gone"}]}}
        Path(folder, "assets.extra", "config.json").write_text(json.dumps(config))

    add_version(gate.root, fill, Manifest(model_uri=serving.uri))
    rule = {"min": 0.65, "max_worsening": 0.01}
    config = for_quality_gate(small_config(("evaluation.thresholds.auc", rule)))
    blessing, _, record = gate.run(gate.model("constant"), serving, serving, config=config)
    assert blessing.get_int_custom_property("blessed") == 1
    inputs = QualityInputs.from_json(record.inputs)
    assert (inputs.whole.metrics, inputs.whole.baseline, inputs.whole.changes) == ({"auc": 0.7}, {}, {})
    why = "version 1 reads gone, which the examples do not have ("
    assert inputs.not_compared.startswith(why)
    assert inputs.anchor is not None
    assert inputs.anchor.problem.startswith(why)
    said = [f.sentence for f in record.of_severity("cannot_judge")]
    assert any(s.startswith(f"`max_worsening` of auc cannot be judged, only `min` and `max`: {why}") for s in said), (
        said
    )
    assert any(s.startswith("the candidate model is not held against the anchor") and why in s for s in said), said


def test_a_baseline_that_the_evaluator_left_out_is_said(gate: Gate) -> None:
    write_evaluation(gate.evaluation, baseline_auc=None)
    write_measured(str(gate.evaluation), {}, {"baseline_model": "the model cannot score the rows: price"})
    _, _, record = gate.run(gate.model("good"), serving=gate.model("constant"))
    assert QualityInputs.from_json(record.inputs).not_compared == "the model cannot score the rows: price"


def test_a_model_that_is_worse_than_the_anchor_is_not_blessed(gate: Gate) -> None:
    blessing, _, record = gate.run(gate.model("constant"), gate.model("good"))
    assert blessing.get_int_custom_property("blessed") == 0
    assert {f.rule for f in record.of_severity("refuse")} >= {"quality.max_auc_loss"}


def test_where_infra_validation_refused_the_model_there_is_an_empty_record_and_no_blessing(gate: Gate) -> None:
    blessing, artifact, record = gate.run(None)
    assert blessing.get_int_custom_property("blessed") == 0
    assert (record.inputs, record.findings, artifact.get_int_custom_property("span")) == ({}, (), 4)
    assert artifact.get_int_custom_property("empty") == 1
    assert gate.run(gate.model("good"))[1].get_int_custom_property("empty") == 0
    assert gate.run(gate.model("good"), records=(artifact,))[0].get_int_custom_property("blessed") == 1


def reference(gate: Gate, model: Any, label: np.ndarray) -> None:
    """Writes a reference model's scores beside a model, as the trainer does."""
    scores = {"constant": np.full(len(label), 0.25, np.float32)}
    write_reference_scores(ReferenceScores(900, label.astype(np.float32), scores), model.uri)


def test_a_model_is_compared_with_the_reference_models(gate: Gate) -> None:
    model = gate.model("good")
    reference(gate, model, gate.label)
    found = QualityInputs.from_json(gate.run(model)[2].inputs)
    assert found.references_problem == ""
    constant = found.references["constant"]
    assert constant.num_rows == 900
    share = gate.label.mean()
    assert constant.metrics["logloss"] == pytest.approx(-share * np.log(0.25) - (1 - share) * np.log(0.75))
    own = 1 / (1 + np.exp(-gate.x.astype(np.float32)))
    own_loss = -np.log(np.where(gate.label == 1, own, 1 - own)).mean()
    gain = constant.gain("logloss")
    assert gain is not None
    assert gain.value == pytest.approx(constant.metrics["logloss"] - own_loss, abs=1e-6)
    auc_gain = constant.gain("auc")
    assert auc_gain is not None
    assert auc_gain.value == pytest.approx(found.references["constant"].differences["auc"].estimate)
    assert constant.gain("gauc") is None


def test_a_model_is_compared_with_the_reference_models_in_each_slice(gate: Gate) -> None:
    """Where `app` is b, which is so from 0.5 on, the model ranks the rows the other way round."""
    model = gate.model("good")
    own = 1 / (1 + np.exp(-np.where(gate.x < 0.5, gate.x, -gate.x).astype(np.float32)))
    keep(gate, model, own)
    other = (1 / (1 + np.exp(-gate.x))).astype(np.float32)
    label = gate.label.astype(np.float32)
    write_reference_scores(ReferenceScores(900, label, {"logistic_regression": other}), model.uri)
    sliced = [("evaluation.slices", ["app"]), ("evaluation.slice_thresholds.auc", {"max_worsening": 0.1})]
    found = QualityInputs.from_json(gate.run(model, config=for_quality_gate(small_config(*sliced)))[2].inputs)
    by_slice = found.references_by_slice["logistic_regression"]
    assert set(by_slice) == {"app = a", "app = b"}
    in_b = gate.x >= 0.5
    number = int(in_b.sum())
    expected = differences(label[in_b].astype(float), np.ones(number), np.arange(number), own[in_b], other[in_b])
    assert expected["auc"].estimate < -0.1
    for name, difference in expected.items():
        assert by_slice["app = b"][name].estimate == pytest.approx(difference.estimate, abs=1e-6)
        assert by_slice["app = b"][name].standard_error == pytest.approx(difference.standard_error, rel=1e-4)
    assert by_slice["app = a"]["auc"].estimate == pytest.approx(0, abs=1e-6)
    # Without a worsening to judge, nothing is compared.
    assert QualityInputs.from_json(gate.run(model)[2].inputs).references_by_slice == {}


def test_the_calibration_slope_of_the_model_is_recorded(gate: Gate) -> None:
    model = gate.model("good")
    found = QualityInputs.from_json(gate.run(model)[2].inputs).calibration_slope
    expected = calibration_slope(gate.label.astype(float), np.ones(400), np.arange(400), 1 / (1 + np.exp(-gate.x)))
    assert found is not None
    assert expected is not None
    assert found.value == pytest.approx(expected.value, rel=1e-4)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-4)


def test_reference_scores_of_other_rows_are_not_compared_and_stop_no_push(gate: Gate) -> None:
    model = gate.model("good")
    reference(gate, model, 1 - gate.label)
    blessing, _, record = gate.run(model)
    found = QualityInputs.from_json(record.inputs)
    assert found.references == {}
    assert "in their order. Received: 400 scores with other labels than the 400 rows" in found.references_problem
    assert blessing.get_int_custom_property("blessed") == 1


def test_damaged_reference_scores_stop_no_push(gate: Gate) -> None:
    model = gate.model("good")
    reference(gate, model, gate.label)
    (file,) = Path(model.uri).glob("reference_scores.npz")
    file.write_bytes(file.read_bytes()[:-40])
    blessing, _, record = gate.run(model)
    assert "must be readable" in QualityInputs.from_json(record.inputs).references_problem
    assert blessing.get_int_custom_property("blessed") == 1


def test_the_features_of_a_first_models_lead_are_measured_and_the_carrier_is_named(gate: Gate) -> None:
    """The model scores by `x` alone, by which the labels were drawn; the constant reference model has an AUC of 0.5."""
    x = {"name": "x", "side": "context", "kind": "numeric", "num_quantiles": 4}
    config = for_quality_gate(small_config(("features.2", x), ("sources.tables", {})))
    model = gate.model("good")
    reference(gate, model, gate.label)
    blessing, _, record = gate.run(model, config=config)
    found = QualityInputs.from_json(record.inputs)
    lead, measured = found.references["constant"].differences["auc"].estimate, found.auc_falls
    assert measured is not None
    assert measured.auc == pytest.approx(0.5 + lead)
    assert measured.falls == {"app": 0.0, "installed": 0.0, "x": pytest.approx(lead, abs=0.1)}
    assert (measured.num_rows, measured.anchor_auc, measured.exempt) == (400, None, ("app",))
    (warning,) = record.of_severity("warn")
    assert (warning.subject, warning.rule) == ("x", "quality.max_auc_rise")
    assert warning.value == measured.falls["x"]
    assert blessing.get_int_custom_property("blessed") == 1
    assert gate.run(model, config=config)[2] == record


def test_the_features_of_a_rise_are_measured_beside_the_anchors(gate: Gate) -> None:
    """The baseline has an AUC of 0.6 and this one 0.95, which is refused; the anchor's scores are constant."""
    x = {"name": "x", "side": "context", "kind": "numeric", "num_quantiles": 4}
    config = for_quality_gate(small_config(("features.2", x), ("sources.tables", {})))
    (gate.evaluation / "metrics-00000-of-00001.tfrecord").unlink()
    write_evaluation(gate.evaluation, auc=0.95, baseline_auc=0.6)
    anchor = gate.model("constant")
    add_version(gate.root, lambda folder: None, Manifest(model_uri=anchor.uri))
    _, _, record = gate.run(gate.model("good"), anchor, serving=anchor, config=config)
    found = QualityInputs.from_json(record.inputs).auc_falls
    assert found is not None
    assert (found.anchor_auc, found.anchor_falls["x"]) == (0.5, 0.0)
    (refusal,) = record.of_severity("refuse")
    assert "too good to be true" in refusal.sentence
    fall = f"auc falls by {found.falls['x']:.4f}, the anchor's by 0.0000"
    assert refusal.sentence.endswith(f". `x` carries the rise: with its values permuted among 400 rows, {fall}")


def test_the_falls_without_each_feature_are_always_measured_and_the_anchors_where_a_rule_asks(gate: Gate) -> None:
    """The model reads no feature of this config."""
    model, anchor = gate.model("good"), gate.model("constant")
    _, _, record = gate.run(model, anchor, serving=anchor)
    found = QualityInputs.from_json(record.inputs).auc_falls
    assert found is not None
    assert (found.num_rows, found.anchor_auc, found.anchor_falls) == (400, None, {})
    assert found.falls == found.errors == {"app": 0.0, "installed": 0.0, "price": 0.0}
