"""Changes of a config that may help where a simple model is as good: what `wdr try --suggest` tries."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from transform.combinations import USUAL_MIN_COUNT, CountEncoding, Cross
from transform.config.config import Config
from transform.config.tuning import with_values
from transform.feature import Feature

#: The number of changes that are suggested.
NUM_SUGGESTED = 3

#: The most features of which each two are crossed.
_MAX_CROSSED = 6

#: With larger embeddings, those of ids with few rows fit these rows by heart.
_EMBEDDING_DIM, _DROPOUT = 8, 0.5


class Suggestion(NamedTuple):
    """A config with one change.

    Attributes:
      words: The keys that are changed, with their values.
      config: The config with the change, without `tuning`, as it is tried.
    """

    words: str
    config: Config


def suggestions(config: Config) -> list[Suggestion]:
    """Returns the first three changes that the config accepts, the most likely to help first.

    * Both parts of the model, if it has one of them.
    * Count encodings of the ids of user and item: what mean labels and biases know.
    * Crosses, if there are none: of the item with each feature of the context, or of categorical features.
    * Logarithms, standardized, in place of quantiles, which round numbers.
    * Smaller embeddings with more dropout.
    * The wide part alone, which is a linear model.
    """
    config = dataclasses.replace(config, tuning=None)
    found = []
    for words, values in _changes(config):
        try:
            found.append(Suggestion(words, with_values(config, values)))
        except ValidationError:  # by what the config has written besides
            continue
    return found[:NUM_SUGGESTED]


def _changes(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the words of each change, and the values by their places."""
    model = config.model
    if model.parts != "wide_and_deep":
        yield "model: {parts: wide_and_deep}", {"model.parts": "wide_and_deep"}
    yield from _counts(config)
    if not config.spec.crosses:
        yield from _crosses(config)
    yield from _scales(config)
    if model.parts != "wide" and (model.embedding_dim > _EMBEDDING_DIM or model.dropout < _DROPOUT):
        dim, dropout = min(model.embedding_dim, _EMBEDDING_DIM), max(model.dropout, _DROPOUT)
        values = {"model.embedding_dim": dim, "model.dropout": dropout}
        yield f"model: {{embedding_dim: {dim}, dropout: {dropout:g}}}", values
    if model.parts == "wide_and_deep":
        yield "model: {parts: wide}", {"model.parts": "wide"}


def _ids(config: Config) -> list[str]:
    """Returns the features that are the ids of user and item, as far as they are known."""
    item = config.item_id
    return [name for name in (config.user, None if item is None else item.name) if name is not None]


def _counts(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    counted = {count.features for count in config.spec.count_encodings}
    new = [name for name in _ids(config) if (name,) not in counted]
    if new:
        words = ", ".join(f"{{features: [{name}]}}" for name in new)
        encodings = (*config.spec.count_encodings, *(CountEncoding((name,)) for name in new))
        # They go without held-out rows, which an effective config names.
        values = {"spec.count_encodings": encodings, "training.validation_fraction": 0.0}
        yield f"count_encodings: [{words}]", values


def _crosses(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    ids = set(_ids(config))
    others = [f for f in config.spec.features if f.has_ids and f.name not in ids and f.parts and f.at_serving is None]
    item = config.item_id
    if item is not None:
        pairs = [(f, item) for f in others if f.side == "context"]
    else:
        pairs = list(itertools.combinations([f for f in others if not f.is_list][:_MAX_CROSSED], 2))
    if pairs:
        names = [f"[{one.name}, {other.name}]" for one, other in pairs]
        crosses = tuple(Cross((one.name, other.name), min_count=USUAL_MIN_COUNT) for one, other in pairs)
        yield f"crosses of {_listed(names)}, each with min_count: {USUAL_MIN_COUNT}", {"spec.crosses": crosses}


def _scales(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    def rounded(f: Feature) -> bool:
        return not f.has_ids and f.scale == "quantile" and f in config.spec.of_part("deep")

    names = [f.name for f in config.spec.features if rounded(f)]
    if names and config.model.parts != "wide":
        features = tuple(dataclasses.replace(f, scale="log") if rounded(f) else f for f in config.spec.features)
        yield f"scale: log of {_listed(names)}", {"spec.features": features}


def _listed(names: Sequence[str], most: int = 3) -> str:
    left = f" and {len(names) - most} others" if len(names) > most else ""
    return ", ".join(names[:most]) + left
