"""A small model with a position, which only the log has, and the output of its tower by numpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.trainer.small_deployment import make_config
from tests.trainer.trained_model import BOUNDARIES, OLD, Trained
from trainer.optimizers import JointOptimizer
from trainer.training_size import sized
from trainer.transform_output.state import TransformState
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tower import fixed_row
from transform.config.config import Config

#: Four buckets, and a fifth row for a missing position.
NUMERIC: dict[str, Any] = {"kind": "numeric", "boundaries": [2, 3, 10]}
TEXT: dict[str, Any] = {"kind": "categorical", "vocabulary": {}}


def placed_config(rule: dict[str, Any] = NUMERIC, fixed: float | str = 1, **at_serving: Any) -> Config:
    """The small deployment with a position."""
    plain = json.loads(make_config().to_json())["spec"]
    position = {"name": "position", "side": "item", **rule, "at_serving": {"fixed": fixed, **at_serving}}
    log = {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r", "randomized": "drawn"}
    sources = json.loads(make_config().to_json())["sources"] | {"impressions": log}
    return make_config(features=[*plain["features"], position], sources=sources)


def build_placed(config: Config, seed: int = 1) -> Trained:
    sizes = {name: len(tokens) for name, tokens in OLD.items()}
    model = WideDeep(config.spec, config.model, sizes, seed, fixed_row(config.spec, TransformState(OLD, {})))
    return Trained(config, OLD, model, JointOptimizer(model, sized(config.training, num_examples=8)), BOUNDARIES)


def by_hand(model: WideDeep, ids: np.ndarray) -> np.ndarray:
    """v · relu(E[id] + b), in numpy."""
    rows = model.table_weights["tower/position"].numpy()
    bias, kernel = (model.dense_variables[f"tower/{name}"].numpy() for name in ("bias", "kernel"))
    return np.asarray(np.maximum(rows[ids] + bias, 0) @ kernel)
