"""The Evaluator's executor writes what TFX's writes: the same files, keys and messages, and the values to 1e-6."""

from __future__ import annotations

import functools
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.metrics.metric_types import MetricKey
from tfx.components.evaluator.executor import Executor
from tfx.types import artifact_utils

from components.evaluation import executor
from components.evaluation.executor import ColumnExecutor
from components.evaluation.metrics_files import read_measured
from components.evaluation.progressive import ProgressiveExecutor
from components.evaluation.ranges.measure import measure
from components.evaluation.results import read_written
from components.evaluation.scoring.kept_scores import keep_scores, kept_scores
from components.evaluation.tfma_config import eval_config
from pipeline.beam_options import make_beam_args
from tests.components.evaluation.executor_runs import Inputs, Row, evaluation_in
from tests.components.evaluation.stock_metrics import with_oracle
from transform.config.beam import Beam
from transform.config.evaluation import Evaluation, Threshold
from transform.errors import InputError

EVALUATION = Evaluation(
    {"auc": Threshold(min=0.5)},
    slices=("country", "tags", "age_days < 7"),
    top_ks=(1, 3),
    gauc_by="user_id",
)


def rows(number: int, seed: int = 0) -> list[Row]:
    """Returns rows of requests and users with ties, weights of 0, repeated values, and values missing."""
    draw = random.Random(seed)
    found: list[Row] = []
    for i in range(number):
        row: dict[str, Any] = {
            "request_id": f"r{draw.randrange(number // 5)}",
            "user_id": f"u{draw.randrange(number // 15)}",
            "label": int(draw.random() < 0.3),
            "weight": draw.choice([0.0, 0.5, 1.0, 2.0]),
            "candidate": draw.choice([0.0, 0.001, 0.1, 0.25, 0.30001, draw.random(), 1.0]),
            "baseline": draw.choice([0.1, 0.2, 0.7, draw.random()]),
            "country": draw.choice([["us"], ["de"], ["日本"], []]),
            "tags": draw.choice([[], ["new"], ["new", "free"], ["free", "free"]]),
            "age_days": draw.choice([[], [float(i % 14)]]),
        }
        found.append({name: value for name, value in row.items() if value != []})
    return found


def metrics(folder: Path) -> dict[Any, dict[MetricKey, float]]:
    return {
        tfma.slicer.deserialize_slice_key(record.slice_key): {
            MetricKey.from_proto(entry.key): entry.value.double_value.value for entry in record.metric_keys_and_values
        }
        for record in tfma.load_metrics(str(folder))
    }


def plots(folder: Path) -> dict[Any, Any]:
    return {
        tfma.slicer.deserialize_slice_key(record.slice_key): json_format.MessageToDict(record)
        for record in tfma.load_plots(str(folder))
    }


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Returns the leaves of nested dicts and lists by path."""
    if not isinstance(value, dict | list):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {leaf: of_leaf for key, of in items for leaf, of_leaf in flat(of, f"{path}/{key}").items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "weighted"), [(("candidate", "baseline"), True), (("candidate",), False)], ids=["two models", "one"]
)
def test_the_results_are_those_of_tfx(models: tuple[str, ...], weighted: bool, tmp_path: Path) -> None:
    found_rows = rows(400)
    inputs = Inputs(tmp_path, found_rows, models)
    config = eval_config(EVALUATION, weighted=weighted, has_requests=True, user="user_id")
    theirs = inputs.evaluate(Executor, with_oracle(config), "theirs")
    ours = inputs.evaluate(ColumnExecutor, config, "ours")

    expected, found = metrics(theirs), metrics(ours)
    assert len(expected) == 8  # all, three countries, two tags, and both sides of the bound
    assert {key: set(values) for key, values in found.items()} == {key: set(values) for key, values in expected.items()}
    for key, values in expected.items():
        for name, value in values.items():
            assert found[key][name] == pytest.approx(value, abs=1e-6, rel=1e-6, nan_ok=True), (key, name)
    assert flat(plots(ours)) == pytest.approx(flat(plots(theirs)), abs=1e-9)
    assert tfma.load_validation_result(str(ours)) == tfma.load_validation_result(str(theirs))
    attributions = [[str(one) for one in tfma.load_attributions(str(folder))] for folder in (ours, theirs)]
    assert sorted(attributions[0]) == sorted(attributions[1])
    of_classes = [
        re.sub(r'"module": "[\w.]+"', "", (folder / "eval_config.json").read_text()) for folder in (ours, theirs)
    ]
    assert of_classes[0] == of_classes[1]
    kept = {path.name for path in ours.iterdir()} - {path.name for path in theirs.iterdir()}
    assert len(kept) == len(list(ours.iterdir())) - len(list(theirs.iterdir())) == len(models) + 1
    written = read_written(str(ours))
    assert written is not None
    assert (written.slices, written.problems) == (read_measured(str(ours)), {})
    of_weight = [row["label"] for row in found_rows if row["weight"] > 0 or not weighted]
    assert written.slices[""].num_positives == sum(of_weight)
    assert written.slices[""].num_negatives == len(of_weight) - sum(of_weight)
    split = artifact_utils.get_split_uri(inputs.artifacts["examples"], "eval")
    for name in models:
        scores = kept_scores(str(ours), str(tmp_path / name / "Format-Serving"), [split])
        assert scores is not None
        np.testing.assert_allclose(scores, [row[name] for row in found_rows], rtol=1e-6)
    for name in models if len(models) > 1 else [None]:
        results = tfma.load_eval_result(str(ours), model_name=name)
        assert len(results.slicing_metrics) == len(results.plots) == 8
    assert list((tmp_path / "ours_blessing").iterdir()) == list((tmp_path / "theirs_blessing").iterdir()) == []


@pytest.mark.slow
def test_two_workers_write_by_ranges_what_one_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs(tmp_path, rows(400))
    config = eval_config(EVALUATION, weighted=True, has_requests=True, user="user_id")
    whole = inputs.evaluate(ColumnExecutor, config, "whole")
    monkeypatch.setattr(executor, "measure", functools.partial(measure, rows_per_range=50))
    alone = inputs.evaluate(ColumnExecutor, config, "alone")
    shared = inputs.evaluate(ColumnExecutor, config, "shared", make_beam_args(Beam(num_workers=2)))

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes().replace(str(folder).encode(), b"") for path in folder.iterdir()}

    assert contents(shared) == contents(alone)
    assert {path.name for path in alone.iterdir()} == {path.name for path in whole.iterdir()}
    expected, found = metrics(whole), metrics(alone)
    assert list(found) == list(expected)
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-9, abs=1e-9, nan_ok=True)
    assert flat(plots(alone)) == pytest.approx(flat(plots(whole)), abs=1e-9)


@pytest.mark.slow
def test_a_baseline_that_cannot_score_the_examples_is_left_out(tmp_path: Path) -> None:
    """Its feature was a number, and is a text now."""
    inputs = Inputs(tmp_path, rows(60), ("candidate",))
    config = eval_config(EVALUATION, weighted=True, has_requests=True, user="user_id")
    alone = read_written(str(inputs.evaluate(ColumnExecutor, config, "alone")))
    inputs.artifacts["baseline_model"] = [inputs.model("request_id")]
    found = read_written(str(inputs.evaluate(ColumnExecutor, config, "found")))
    assert alone is not None
    assert found is not None
    assert found.slices == alone.slices
    assert found.slices[""].baseline == {}
    assert list(found.problems) == ["baseline_model"]
    assert found.problems["baseline_model"].startswith("the model cannot score the rows: ")


@pytest.mark.slow
def test_scores_of_an_earlier_evaluation_are_not_computed_again(tmp_path: Path) -> None:
    """The baseline can no longer score: its variables are gone."""
    inputs = Inputs(tmp_path, rows(100))
    config = eval_config(EVALUATION, weighted=True, has_requests=True, user="user_id")
    computed = inputs.evaluate(ColumnExecutor, config, "computed")
    candidate, baseline = (inputs.artifacts.pop(name) for name in ("model", "baseline_model"))
    inputs.artifacts["model"] = baseline
    earlier = inputs.evaluate(ProgressiveExecutor, config, "earlier")
    inputs.artifacts |= {"model": candidate, "baseline_model": baseline}
    inputs.artifacts["earlier_evaluation"] = [evaluation_in(earlier)]
    shutil.rmtree(Path(baseline[0].uri) / "Format-Serving" / "variables")
    found = inputs.evaluate(ColumnExecutor, config, "found")
    again, expected = metrics(found), metrics(computed)
    assert {key: list(values) for key, values in again.items()} == {key: list(expected[key]) for key in again}
    for key, values in again.items():
        np.testing.assert_array_equal(list(values.values()), list(expected[key].values()))
    assert plots(found) == plots(computed)
    written = read_written(str(found))
    assert written is not None
    assert written.problems == {}
    assert [path.name for path in sorted(found.iterdir())] == [path.name for path in sorted(computed.iterdir())]


@pytest.mark.slow
def test_kept_scores_that_are_not_those_of_the_examples(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, rows(100), ("candidate",))
    config = eval_config(EVALUATION, weighted=True, has_requests=True, user="user_id")
    earlier = inputs.evaluate(ProgressiveExecutor, config, "earlier")
    split = artifact_utils.get_split_uri(inputs.artifacts["examples"], "eval")
    model = f"{inputs.artifacts['model'][0].uri}/Format-Serving"
    keep_scores(str(earlier), model, [split], lambda: [np.zeros(99, np.float32)])
    inputs.artifacts["earlier_evaluation"] = [evaluation_in(earlier)]
    (kept,) = earlier.glob("scores-*")
    rule = "kept a score for each of 100 examples; without the file, they are scored again"
    with pytest.raises(InputError, match=re.escape(f"{rule}. Received: 99 ({kept})")):
        inputs.evaluate(ColumnExecutor, config, "found")
    kept.write_bytes(kept.read_bytes()[:-1])
    found = inputs.evaluate(ColumnExecutor, config, "found_again")
    assert kept_scores(str(found), model, [split]) is not None  # the damaged ones were computed again


def test_an_earlier_model_that_cannot_score_a_new_span_stops_no_training(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, rows(60), ("baseline",))
    inputs.artifacts["model"] = [inputs.model("request_id")]
    config = eval_config(EVALUATION, weighted=True, has_requests=True, user="user_id")
    found = read_written(str(inputs.evaluate(ProgressiveExecutor, config, "found")))
    assert found is not None
    assert found.slices == {}
    assert found.problems["model"].startswith("the model cannot score the rows: ")
    with pytest.raises(Exception, match="the model cannot score the rows"):  # Beam's own type
        inputs.evaluate(ColumnExecutor, config, "candidate")


def test_an_error_that_no_model_causes_is_raised(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, rows(60))
    config = eval_config(Evaluation({"auc": Threshold(min=0.5)}, slices=("gone",)), weighted=True, has_requests=True)
    with pytest.raises(InputError, match="none named \\['gone'\\]"):
        inputs.evaluate(ProgressiveExecutor, config, "found")
