"""An example's weight, from the log to the loss and the validation; scoring needs no weight."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import tensorflow as tf

from components.ingestion.columns.parser import Parser
from tests.components.ingestion.row_by_row.examples import Impression, Layout
from tests.trainer.small_deployment import Row, make_config, to_example, transform_span
from trainer.run_fn import run_fn
from trainer.training.report import TRAINING_REPORT_FILE
from transform.config.config import Config
from transform.schema import raw_schema

#: Label and weight of otherwise identical impressions; two thirds of the weight are positive.
LOG = [("1", "3"), ("1", "3"), *[("0", "0.5")] * 6, ("0", "0")]
CONFIG = make_config(
    sources={
        "impressions": {"path": "a.csv", "format": "csv", "label": "clicked", "weight": "importance", "request_id": "r"}
    },
    features=[{"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}}],
    crosses=[],
    model={"parts": "wide", "token_dropout": 0.0},
    training={
        "batch_size": 16,
        "num_epochs": 30,
        "patience": 0,
        "wide_optimizer": {"learning_rate": 1.0, "initial_accumulator": 0.1},
        "deep_optimizer": {"name": "adagrad"},
    },
)


def ingested(config: Config, log: list[tuple[str, str]]) -> list[Row]:
    """The log's rows as ingestion's tf.Examples contain them."""
    parser, layout = Parser(config.columns["impressions"], ("",), "|", config.ingestion), Layout(config)
    rows = []
    for label, weight in log:
        values = parser.parse_row({"app": "chess", "r": "r1", "clicked": label, "importance": weight})
        impression = Impression("log.csv", 1, "train", values, int(label), {})
        features = tf.train.Example.FromString(layout.serialized_example(impression, 0)).features.feature
        lists = {
            f.name: getattr(features[f.name], features[f.name].WhichOneof("kind")) for f in raw_schema(config).feature
        }
        rows.append({name: list(values.value) for name, values in lists.items()})
    return rows


@pytest.mark.slow
def test_what_is_learned_measured_and_served_goes_by_the_weights(tmp_path: Path) -> None:
    rows = ingested(CONFIG, LOG)
    assert [row["weight"] for row in rows] == [[3.0], [3.0], *[[0.5]] * 6, [0.0]]
    run_fn(transform_span(CONFIG, rows, rows, tmp_path).fn_args(tmp_path / "model"))

    signature = tf.saved_model.load(str(tmp_path / "model" / "Format-Serving")).signatures["serving_default"]
    (score,) = signature(examples=tf.constant([to_example({"app": ["chess"]})]))["scores"].numpy()
    assert score == pytest.approx(2 / 3, abs=1e-3)
    report = json.loads((tmp_path / "model" / TRAINING_REPORT_FILE).read_text())
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    expected = {"num_examples": 9, "auc": 0.5, "logloss": pytest.approx(entropy, abs=1e-4)}
    assert report["epochs"][-1]["validation"] == expected, "as learned"
    assert report["validation"] == expected, "with the bias corrected"
