"""Short form of the benchmark of training speed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.machine import flops_per_example
from benchmarks.paper_model import MODEL, PaperModel
from benchmarks.stock_model import StockModel
from benchmarks.training_speed import TRAINING, Job, layer_widths, measure, results
from trainer.training.data import train_dataset
from trainer.wide_deep.model import WideDeep

PAPER = PaperModel(rows=50)


def test_the_architecture_is_the_papers() -> None:
    widths = layer_widths(WideDeep(PAPER.spec, MODEL, PAPER.vocabulary_sizes))
    assert widths == (36 * 32 + 20 * 2, 1024, 512, 256, 1)  # two per number: its value, and whether it is missing
    assert flops_per_example(widths) == 6 * (1192 * 1024 + 1024 * 512 + 512 * 256 + 256)


def test_the_stock_model_computes_the_same_logits(tmp_path: Path) -> None:
    model = WideDeep(PAPER.spec, MODEL, PAPER.vocabulary_sizes)
    stock = StockModel(model, TRAINING)
    pattern = PAPER.write_examples(tmp_path, num_examples=16, num_files=2)
    training = dataclasses.replace(TRAINING, batch_size=16)
    (batch,) = train_dataset([pattern], PAPER.parse_spec, training, epoch=1)
    (wide, deep), labels, _ = stock.inputs(*batch)
    stock.model((wide, deep))  # builds the model
    rng = np.random.default_rng(1)
    for table in model.wide_tables:
        model.table_weights[table.name].assign(rng.normal(size=table.rows))
    linear = {layer.name: layer.kernel for layer in stock.model.linear_model.dense_layers}
    for table in model.wide_tables:
        linear[table.inputs[0]].assign(model.table_weights[table.name][:, tf.newaxis])
    for variable, value in zip(stock.model.dnn_model.trainable_variables, model.deep_variables, strict=True):
        variable.assign(value)
    np.testing.assert_allclose(stock.model((wide, deep))[:, 0], model(batch[0]), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(labels[:, 0], batch[1])


@pytest.mark.slow
def test_a_short_run_measures_all_three_in_every_pass(tmp_path: Path) -> None:
    pattern = PAPER.write_examples(tmp_path, num_examples=128, num_files=2)
    (turn,) = measure(Job(PAPER, pattern, 128, batch_sizes=(32,), num_passes=2), num_turns=1)
    passes = turn.float32[32] + turn.bfloat16[32]
    assert len(passes) == 4
    speeds = [speed for one in passes for speed in (one.ours, one.bound)] + turn.stock[32]
    assert len(speeds) == 10
    assert all(speed.wall > 0 and speed.processor > 0 for speed in speeds)
    assert results([turn], (32,)).row_count == 11
