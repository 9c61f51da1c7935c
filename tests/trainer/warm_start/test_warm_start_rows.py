"""The guarantees of a warm start, with shuffled vocabularies in which 30 % of the tokens are replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.small_deployment import make_config
from tests.trainer.trained_model import COUNTS, Trained, Vocabularies, build, save, start
from trainer.optimizers import DEEP_OPTIMIZERS
from trainer.wide_deep.tables import Table

SIZES = {"app": 40, "country": 10, "installed_x_app": 60}
OLD: Vocabularies = {name: [f"{name} {i}".encode() for i in range(size)] for name, size in SIZES.items()}

#: The learning rates of optimizers for which 0.01 is too low.
RATES = {"adagrad": 0.05}

#: FTRL's settings, each with every deep optimizer.
SETTINGS = [
    pytest.param(
        {"wide_optimizer": wide, "deep_optimizer": {"name": deep, "learning_rate": RATES.get(deep, 0.01)}},
        id=f"{name}-{deep}",
        marks=[] if name == "regularized" else pytest.mark.slow,
    )
    for name, wide in {
        "plain": {},
        "regularized": {"l1": 0.002, "l2": 0.1, "beta": 1.0},
        "power": {"l1": 0.002, "l2": 0.1, "beta": 1.0, "learning_rate_power": -0.7},
    }.items()
    for deep in DEEP_OPTIMIZERS
]


def shuffled_and_replaced() -> tuple[Vocabularies, Vocabularies]:
    """The new vocabularies, and the old tokens that they keep."""
    rng = np.random.default_rng(7)
    new, surviving = {}, {}
    for name, tokens in OLD.items():
        replaced = len(tokens) * 3 // 10
        kept = [tokens[i] for i in rng.permutation(len(tokens))[replaced:]]
        added = [f"new {name} {i}".encode() for i in range(replaced)]
        new[name] = [[*kept, *added][i] for i in rng.permutation(len(tokens))]
        surviving[name] = kept
    return new, surviving


NEW, SURVIVING = shuffled_and_replaced()


@dataclasses.dataclass(frozen=True)
class Pair:
    """A trained model, and one with the new vocabularies that was warm-started from it."""

    old: Trained
    new: Trained


@pytest.fixture(params=SETTINGS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    config = make_config(training=request.param, count_encodings=COUNTS)
    old = build(config, OLD)
    old.train(100, seed=1)
    new = build(config, NEW, seed=2)
    start(new, save(old, tmp_path))
    return Pair(old, new)


def state_of(trained: Trained) -> dict[str, dict[str, np.ndarray]]:
    """Each table's values and optimizer state, by table."""
    state = {}
    for name, variable in trained.model.table_weights.items():
        slots = {slot: values.numpy() for slot, values in trained.optimizers.slots(variable).items()}
        state[name] = {"values": variable.numpy(), **slots}
    return state


def read_tables(trained: Trained) -> tuple[Table, ...]:
    return (*trained.model.wide_tables, *trained.model.embedding_tables)


def rows_in_batch(table: Table, features: Mapping[str, Any]) -> np.ndarray:
    """The rows of a table that a batch uses."""
    ids = [features[name] for name in table.inputs]
    return np.unique(np.concatenate([i.values if isinstance(i, tf.SparseTensor) else i for i in ids]))


def matched_rows(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """The rows that represent the same in both models' table: the new ones, and the old ones in the same order."""
    if table.keys.kind != "vocabulary":
        return np.arange(table.rows), np.arange(table.rows)
    owner = table.keys.vocabulary or ""
    oov = SIZES[owner] + np.arange(table.keys.oov_buckets)
    new, old = ([tokens[owner].index(token) for token in SURVIVING[owner]] for tokens in (NEW, OLD))
    return np.append(new, oov), np.append(old, oov)


def test_with_no_step_surviving_tokens_score_as_before(pair: Pair) -> None:
    for seed in range(20):
        np.testing.assert_allclose(pair.new.logits(seed, SURVIVING), pair.old.logits(seed, SURVIVING), atol=1e-6)
    cold = build(pair.new.config, NEW, seed=2)
    assert np.abs(cold.logits(0, SURVIVING) - pair.old.logits(0, SURVIVING)).max() > 0.01


def test_one_step_changes_the_batch_s_rows_only_and_as_carried_state_has_it(pair: Pair) -> None:
    without_state = build(pair.new.config, NEW)  # the same weights, with a cold start's optimizer state
    for copy, variable in zip(without_state.optimizers.variables, pair.new.optimizers.variables, strict=True):
        copy.assign(variable)
    before = state_of(pair.new)
    features, _, _ = pair.new.batch(np.random.default_rng(3), SURVIVING)
    for model in (pair.old, pair.new, without_state):
        model.train(1, seed=3, tokens=SURVIVING)

    after, old_after, cold_after = (state_of(model) for model in (pair.new, pair.old, without_state))
    for table in read_tables(pair.new):
        name, in_batch = table.name, rows_in_batch(table, features)
        untouched = np.setdiff1d(np.arange(table.rows), in_batch)
        new_rows, old_rows = matched_rows(table)
        assert set(in_batch) <= set(new_rows)
        for part, values in after[name].items():
            assert values[untouched].tobytes() == before[name][part][untouched].tobytes(), (name, part)
            # Each row, its weights and its state, moved as in the old model, which continued its training.
            np.testing.assert_allclose(
                values[new_rows], old_after[name][part][old_rows], rtol=1e-5, atol=1e-5, err_msg=f"{name} {part}"
            )
        transferred, cold = (
            state[name]["values"][in_batch] - before[name]["values"][in_batch] for state in (after, cold_after)
        )
        assert np.abs(transferred).max() > 1e-4, name
        assert np.abs(transferred - cold).max() > 3e-5, name
