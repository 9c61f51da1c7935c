"""No signature's scores depend on the position that a request sends; those of logged rows, in the evaluation, do.

The model is exported by the product's code, and loaded in another process, which has TensorFlow alone.
"""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.placed_model import NUMERIC, TEXT, placed_config
from tests.trainer.small_deployment import Row, Span, make_rows, to_example, transform_span
from trainer.run_fn import run_fn
from trainer.signatures import export_model
from trainer.trainer_predictions import trainer_predictions
from trainer.training.report import read_training_report
from trainer.training.setup import TrainingSetup, prepare
from transform.example_keys import PLACEMENT, SPAN

APPS = [f"app{i}" for i in range(8)]

_SCRIPT = """
import sys

for name in ("tf_keras", "keras", "tensorflow_transform", "tfx", "tfx_bsl", "trainer", "transform"):
    sys.modules[name] = None  # an import of it fails
import numpy as np
import tensorflow as tf

directory, kind, scores = sys.argv[1:]
signatures = tf.saved_model.load(directory).signatures
apps = [f"app{i}" for i in range(8)]
number = kind == "numeric"


def example(**values):
    features = {}
    for name, value in values.items():
        if isinstance(value, str):
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        elif isinstance(value, float):
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        else:
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


sent = [{}, *({"position": float(p) if number else str(p)} for p in (1, 2, 3, 9, 50))]
found = {}
for position in sent:
    rows = tf.constant([example(app=app, country="a", price=2.0, **position) for app in apps])
    context = tf.constant([example(country="a", **position)])
    items = tf.constant([[example(price=2.0, **position) for _ in apps]])
    by = {
        "serving_default": signatures["serving_default"](examples=rows)["scores"],
        "classify": signatures["classify"](inputs=rows)["scores"][:, 1],
        "regress": signatures["regress"](inputs=rows)["outputs"],
        "explain": signatures["explain"](examples=rows)["scores"],
        "explain_items": signatures["explain_items"](context=context, item_ids=[apps], items=items)["scores"][0],
    }
    named = {"country": tf.constant(["a"]), "installed": tf.constant([[""]])}
    for name, inputs in (
        ("rank", {"context": context}),
        ("rank_named", named),
        ("rank_items", {"context": context, "items": items}),
    ):
        ranked = signatures[name](item_ids=tf.constant([apps]), **inputs)
        by[name] = tf.gather(ranked["scores"][0], np.argsort(ranked["item_ids"].numpy()[0]))
    for name, values in by.items():
        found.setdefault(name, []).append(values.numpy())
for name, values in found.items():
    assert np.ptp(values[0]) > 0.01, name + ": the items must differ"
    assert (np.stack(values) == values[0]).all(), name + ": a position that is sent must change nothing"
    np.testing.assert_allclose(values[0], found["serving_default"][0], rtol=0, atol=1e-6, err_msg=name)
logged = [example(app="app1", country="a", price=2.0, span=7, **position) for position in sent]
of_logged = signatures["serving_default"](examples=tf.constant(logged))["scores"].numpy()
np.save(scores, np.concatenate([found["serving_default"][0], of_logged]))
"""


def placed_rows(num_rows: int, seed: int, kind: str) -> list[Row]:
    """Impressions at positions from 1 to 12; the lower ones have fewer labels."""
    rng, rows = random.Random(seed), make_rows(num_rows, APPS, seed)
    for row in rows:
        position = rng.randint(1, 12)
        row["position"] = [float(position) if kind == "numeric" else str(position)]
        row[PLACEMENT] = [float(rng.random() < 0.5)]
        if rng.random() > 1 / position:
            row["label"] = [0]
    return rows


@pytest.fixture(scope="module", params=["numeric", "categorical"])
def kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def span(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Span:
    config = placed_config(NUMERIC, 1) if kind == "numeric" else placed_config(TEXT, "1")
    rows = placed_rows(600, 1, kind)
    return transform_span(config, rows, placed_rows(100, 2, kind), tmp_path_factory.mktemp(kind))


@pytest.fixture(scope="module")
def prepared(span: Span) -> TrainingSetup:
    """A model with random weights."""
    found = prepare(
        span.config, tft.TFTransformOutput(span.transform_output), [span.train_files], [span.eval_files], None
    )
    rng = np.random.default_rng(1)
    for variable in found.model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    for variable in found.model.tower_variables:
        variable.assign(rng.normal(size=variable.shape))
    return found


def test_scores_do_not_depend_on_a_position_that_is_sent(
    kind: str, span: Span, prepared: TrainingSetup, tmp_path: Path
) -> None:
    output, folder = tft.TFTransformOutput(span.transform_output), str(tmp_path / "model")
    items = {app.encode(): to_example({"price": [2.0]}) for app in APPS}
    names = export_model(prepared.model, output, span.config, folder, items, None, prepared.transform_state)
    assert {"rank", "rank_named", "rank_items", "explain_items"} <= set(names)

    scores = tmp_path / "scores.npy"
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, folder, kind, str(scores)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    served, logged = np.split(np.load(scores), [len(APPS)])

    def logit(score: float) -> float:
        return float(np.log(score / (1 - score)))

    # Of a logged row, which has a span, the position is read: the logits differ from the fixed one's by the tower's.
    state, model = prepared.transform_state, prepared.model
    if kind == "numeric":
        rows = [4, 0, 1, 2, 2, 3]  # missing; 1; 2; 3; 9; 50
    else:
        tokens = [bytes(token) for token in state.vocabularies["position"]]
        rows = [tokens.index(token) for token in (b"<missing>", b"1", b"2", b"3", b"9")] + [len(tokens)]
    tower = model.tower(tf.constant(rows, tf.int64)).numpy()  # type: ignore[misc]
    assert np.ptp(tower) > 0.5
    assert logit(logged[1]) == pytest.approx(logit(served[1]), abs=1e-4)
    np.testing.assert_allclose([logit(s) - logit(logged[1]) for s in logged], tower - tower[1], atol=1e-3)


def test_the_trainers_own_scores_are_those_of_requests(
    kind: str, span: Span, prepared: TrainingSetup, tmp_path: Path
) -> None:
    """Its scores of rows, with which the export is compared, have the fixed position; those of examples the logged."""
    raw = tmp_path / "raw.gz"
    with tf.io.TFRecordWriter(str(raw), "GZIP") as writer:
        for row in span.eval_rows:
            writer.write(to_example(row | {SPAN: [0]}))
    output, folder = tft.TFTransformOutput(span.transform_output), str(tmp_path / "model")
    own = trainer_predictions(prepared, output, [str(raw)], 20)
    export_model(prepared.model, output, span.config, folder, {}, None)
    score = tf.saved_model.load(folder).signatures["serving_default"]
    np.testing.assert_allclose(score(examples=tf.constant(own.rows))["scores"], own.row_scores, atol=1e-6)
    as_logged = score(examples=tf.constant([to_example(row | {SPAN: [0]}) for row in span.eval_rows]))["scores"]
    np.testing.assert_allclose(np.sort(as_logged), own.eval_scores, atol=1e-6)
    as_sent = score(examples=tf.constant([to_example(row) for row in span.eval_rows]))["scores"]
    assert np.abs(np.sort(as_sent) - own.eval_scores).max() > 0.01


@pytest.mark.slow
def test_a_training_learns_the_curve(kind: str, span: Span, tmp_path: Path) -> None:
    """The labels' share at position p is 1 / p times that at position 1."""
    training = dataclasses.replace(span.config.training, num_epochs=12)
    run_fn(span.fn_args(tmp_path, config=dataclasses.replace(span.config, training=training)))
    report = read_training_report(str(tmp_path))
    assert report.position is not None
    curve = dict(zip(report.position.values, report.position.logits, strict=True))
    last = "10 or more" if kind == "numeric" else "12"
    first = "below 2" if kind == "numeric" else "1"
    assert curve[first] == 0.0
    assert curve[last] < -0.5
