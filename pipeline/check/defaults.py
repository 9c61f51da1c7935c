"""The keys that a config leaves out and whose defaults are others than in the last release."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from components import storage
from components.model_store.versions import version_path, versions
from pipeline.workspace import Workspace
from transform.config.component_settings import VERSION_KEY
from transform.config.config import Config
from transform.config.effective import FOLLOWS, effective
from transform.config.tuning import value_at
from transform.files.version_layout import CONFIG_FILE, EXTRA_ASSETS

_RELEASE = "0.2.0"

#: The defaults of `_RELEASE` that are others now, by the key's place.
_BEFORE: Mapping[str, Any] = {
    "model.hidden_units": (1024, 512, 256),
    "model.dropout": 0.0,
    "training.batch_size": 512,
    "training.num_epochs": 1,
    "training.patience": 0,
    "training.validation_fraction": 0.0,
    "training.monitor": "auc",
    "training.wide_optimizer.learning_rate": 0.05,
    "training.wide_optimizer.initial_accumulator": 0.1,
    "training.deep_optimizer.name": "adagrad",
    "training.deep_optimizer.learning_rate": 0.05,
    "evaluation.max_miscalibration": None,
}


def changed_defaults(config: Config, raw: Mapping[str, Any]) -> list[str]:
    """Returns a sentence that names each key whose meaning is another than in the last release, if there is one.

    Args:
      config: The config.
      raw: Its file's keys.
    """
    named = list(_changed(effective(config), raw))
    rule = f"keys that the config leaves out mean something else than in {_RELEASE}; to keep its values, write them"
    return [f"{rule}: {'; '.join(named)}"] if named else []


def _changed(config: Config, raw: Mapping[str, Any]) -> Iterator[str]:
    skipped = set(config.tuning.ranges if config.tuning else ())
    if config.training.patience == 0 and not config.tuning:
        skipped.add("training.monitor")  # nothing is chosen by it
    for place, before in _BEFORE.items():
        now = value_at(config, place)
        if place not in skipped and not _is_written(raw, place) and now != before:
            yield f"{place} {_text(before)}, now {f'by a rule: {FOLLOWS[place]}' if now is None else _text(now)}"


def _is_written(raw: Mapping[str, Any], place: str) -> bool:
    node: Any = raw
    for name in place.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return node is not None or place != "training.patience"  # the only null of `_RELEASE`, where it meant 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def has_current_defaults(config: Config, workspace: Workspace) -> bool:
    """Returns whether the newest version of a workspace was pushed with the defaults of this release."""
    root = str(workspace.serving(config.name))
    newest = max(versions(root), default=None)
    if newest is None:
        return False
    text = storage.read_text(f"{version_path(root, newest)}/{EXTRA_ASSETS}/{CONFIG_FILE}")
    with contextlib.suppress(ValueError):  # a damaged version: the run says so
        return text is not None and VERSION_KEY in json.loads(text)
    return False
