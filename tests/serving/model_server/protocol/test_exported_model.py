"""Tests of the server with a model that the trainer exports: all signatures give the same scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from tests.serving.model_server.requests import request
from tests.serving.model_server.running import Server, running
from tests.trainer.small_deployment import make_config, make_rows, to_example, transform_span
from trainer.signatures import export_model
from trainer.wide_deep.model import WideDeep
from transform.feature_spec import vocabulary_file_name
from transform.signature_names import (
    CLASSIFY_SIGNATURE,
    CONTEXT_INPUT,
    EXAMPLES_INPUT,
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    REGRESS_SIGNATURE,
    SCORES_OUTPUT,
)

pytestmark = pytest.mark.slow

APPS = [f"app{i}" for i in range(8)]
MODEL = "small"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a model with random weights."""
    folder = tmp_path_factory.mktemp("exported")
    config = make_config()
    span = transform_span(config, make_rows(1500, APPS, 1), make_rows(300, APPS, 2), folder / "span")
    output = tft.TFTransformOutput(span.transform_output)
    sizes = {
        name: output.vocabulary_size_by_name(vocabulary_file_name(name))
        for name in ("app", "country", "installed_x_app")
    }
    model = WideDeep(config.spec, config.model, sizes)
    rng = np.random.default_rng(1)
    for variable in (model.bias, *model.wide_variables, *model.deep_variables):
        variable.assign(rng.normal(scale=0.5, size=variable.shape).astype(np.float32))
    version: Path = folder / "models" / MODEL / "1"
    version.parent.mkdir(parents=True)
    export_model(model, output, config, str(version))
    with running("--models", folder / "models") as server:
        yield server


@pytest.fixture(scope="module")
def rows() -> list[bytes]:
    """Raw examples with the same context, each with a different item."""
    first, *others = make_rows(len(APPS), APPS, 3)
    found = []
    for app, row in zip(APPS, [first, *others], strict=True):
        context = {name: first[name] for name in ("installed", "country")}
        found.append(to_example({**context, "app": [app], "price": row["price"]}))
    return found


def compute_scores(server: Server, rows: list[bytes]) -> np.ndarray:
    inputs: dict[str, Any] = {EXAMPLES_INPUT: rows}
    response = server.predictions.Predict(request(model=MODEL, **inputs))
    return np.array(response.outputs[SCORES_OUTPUT].float_val, np.float32)


def test_rank_sorts_by_the_scores_of_its_candidates(exported: Server, rows: list[bytes]) -> None:
    scores = compute_scores(exported, rows)
    assert len(set(scores)) == len(APPS)
    inputs = {CONTEXT_INPUT: rows[:1], ITEM_IDS: [APPS], ITEMS_INPUT: [rows]}
    response = exported.predictions.Predict(request(RANK_ITEMS_SIGNATURE, model=MODEL, **inputs))
    order = np.argsort(-scores)
    assert list(response.outputs[ITEM_IDS].string_val) == [APPS[i].encode() for i in order]
    np.testing.assert_allclose(response.outputs[SCORES_OUTPUT].float_val, scores[order], atol=1e-5)
    some = exported.predictions.Predict(request(RANK_ITEMS_SIGNATURE, SCORES_OUTPUT, model=MODEL, **inputs))
    assert list(some.outputs) == [SCORES_OUTPUT]


def test_classify_and_regress_give_the_same_scores(exported: Server, rows: list[bytes]) -> None:
    scores = compute_scores(exported, rows)
    examples = input_pb2.ExampleList(examples=[tf.train.Example.FromString(row) for row in rows])
    given = input_pb2.Input(example_list=examples)
    regression = exported.predictions.Regress(
        regression_pb2.RegressionRequest(model_spec={"name": MODEL, "signature_name": REGRESS_SIGNATURE}, input=given)
    )
    np.testing.assert_allclose([found.value for found in regression.result.regressions], scores, atol=1e-6)
    classification = exported.predictions.Classify(
        classification_pb2.ClassificationRequest(
            model_spec={"name": MODEL, "signature_name": CLASSIFY_SIGNATURE}, input=given
        )
    )
    for row, score in zip(classification.result.classifications, scores, strict=True):
        assert [found.label for found in row.classes] == ["0", "1"]
        np.testing.assert_allclose([found.score for found in row.classes], [1 - score, score], atol=1e-6)


def test_large_requests_are_as_small_ones(exported: Server, rows: list[bytes]) -> None:
    """3,000 rows, and 40 requests of 80 candidates, are both computed in parts."""
    many = make_rows(3000, APPS, 4)
    examples = [to_example(row) for row in many]
    small = np.concatenate([compute_scores(exported, examples[at : at + 500]) for at in range(0, 3000, 500)])
    np.testing.assert_allclose(compute_scores(exported, examples), small, rtol=1e-6)

    def ranked(start: int, end: int) -> list[np.ndarray]:
        inputs = {CONTEXT_INPUT: examples[start:end], ITEM_IDS: [APPS * 10] * (end - start)}
        inputs[ITEMS_INPUT] = [rows * 10] * (end - start)
        outputs = exported.predictions.Predict(request(RANK_ITEMS_SIGNATURE, model=MODEL, **inputs)).outputs
        return [tf.make_ndarray(outputs[name]) for name in (ITEM_IDS, SCORES_OUTPUT)]

    items, scores = ranked(0, 40)
    parts = [ranked(at, at + 8) for at in range(0, 40, 8)]
    np.testing.assert_array_equal(items, np.concatenate([part[0] for part in parts]))
    np.testing.assert_allclose(scores, np.concatenate([part[1] for part in parts]), rtol=1e-6)
