"""Wide tables without their zero rows: fewer rows, the same scores."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.conftest import FIRST_APPS
from tests.trainer.small_deployment import Span, make_rows, to_example
from trainer.optimizers import JointOptimizer
from trainer.pruning import PrunedTable
from trainer.run_fn import run_fn
from trainer.signatures import serving_feature_spec
from trainer.training.report import TRAINING_REPORT_FILE, WIDE_WEIGHTS_FILE
from trainer.transform_output.graph import apply_transform
from trainer.transform_output.state import read_transform_state
from trainer.warm_start.array_files import read
from trainer.warm_start.files import read_files, warm_start_dir
from trainer.warm_start.warm_start import warm_start
from trainer.wide_deep.model import WideDeep
from transform.config.settings import Ftrl


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 64, 1000])
@pytest.mark.parametrize("zero_share", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_a_pruned_table_has_the_same_weights_in_fewer_rows(rows: int, zero_share: float) -> None:
    rng = np.random.default_rng(rows)
    weights = rng.normal(size=rows).astype(np.float32)
    weights[rng.permutation(rows)[: round(zero_share * rows)]] = 0
    pruned = PrunedTable("wide/app", weights)
    assert pruned.weights.shape == [np.count_nonzero(weights)]
    asked = np.concatenate([np.arange(rows), rng.integers(0, rows, 100)])
    found = tf.function(pruned)(tf.constant(asked))
    assert found.numpy().tobytes() == weights[asked].tobytes()
    assert pruned(tf.zeros([0], tf.int64)).shape == [0]
    if zero_share == 0:
        assert pruned.index is None
    elif pruned.index is not None:
        assert pruned.index.shape == [-(-rows // 32)]


@pytest.fixture(scope="module")
def serving_model_dir(first_span: Span, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model exported by a training with L1."""
    training = dataclasses.replace(
        first_span.config.training, wide_optimizer=Ftrl(0.05, l1=0.3, initial_accumulator=0.1)
    )
    fn_args = first_span.fn_args(
        tmp_path_factory.mktemp("l1"), config=dataclasses.replace(first_span.config, training=training)
    )
    run_fn(fn_args)
    return str(fn_args.serving_model_dir)


def exported_rows(serving_model_dir: str) -> dict[str, int]:
    """The number of weights in the SavedModel, by wide table."""
    loaded = tf.saved_model.load(serving_model_dir)
    return {table.weights.name.removesuffix(":0"): table.weights.shape[0] for table in loaded.wide_tables}


@pytest.mark.slow
def test_the_rows_that_l1_zeroed_are_not_exported(serving_model_dir: str) -> None:
    full = {
        name: read(table.variable.values)
        for name, table in read_files(warm_start_dir(serving_model_dir)).tables.items()
        if name.startswith("wide/")
    }
    assert full["wide/installed_x_app"].shape == (64,)
    num_rows, num_zero = (sum(map(count, full.values())) for count in (np.size, lambda w: np.sum(w == 0)))
    assert 0.2 < num_zero / num_rows < 0.8
    non_zero = {name: np.count_nonzero(values) for name, values in full.items()}
    assert exported_rows(serving_model_dir) == non_zero

    folder = Path(serving_model_dir).parent
    assert json.loads((folder / TRAINING_REPORT_FILE).read_text())["wide_non_zero_rows"] == non_zero
    assert f"| installed × app | 64 | {non_zero['wide/installed_x_app']} |" in (folder / WIDE_WEIGHTS_FILE).read_text()


@pytest.mark.slow
def test_ten_thousand_rows_score_as_with_the_full_tables(first_span: Span, serving_model_dir: str) -> None:
    config, tft_output = first_span.config, tft.TFTransformOutput(first_span.transform_output)
    transform_state = read_transform_state(tft_output, config.spec)
    full = WideDeep(config.spec, config.model, transform_state.vocabulary_sizes)
    report = warm_start(
        full, JointOptimizer(full, config.training), config.training, transform_state, serving_model_dir
    )
    assert all(table.new == 0 for table in report.tables.values())
    graph = tf.saved_model.load(tft_output.transform_savedmodel_dir)

    rows = make_rows(10_000, [*FIRST_APPS, "unknown"], 5)
    examples = tf.constant([to_example(row, without=("label", "request_id")) for row in rows])
    features = apply_transform(graph.transform_fn, tf.io.parse_example(examples, serving_feature_spec(config)))
    expected = tf.sigmoid(full.logits(features)).numpy()
    scores = tf.saved_model.load(serving_model_dir).signatures["serving_default"](examples=examples)["scores"].numpy()
    assert len(np.unique(expected)) > 5_000
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
