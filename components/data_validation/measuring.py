"""Measures a span's evidence from its examples, ingestion's evidence, and the baseline's scores."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.data_validation.columns import Columns, Floats, Ints, Tokens
from components.data_validation.distributions import Distribution, count_tokens, measure_numbers, measure_tokens
from components.data_validation.evidence import SKETCH_ROWS, Labelled, ModelEvidence, SpanEvidence
from components.data_validation.label_aucs import label_aucs
from components.data_validation.positions import measure_positions
from components.ingestion.evidence import Evidence
from transform.auc import auc
from transform.config.component_settings import DataSettings, EvaluationSettings
from transform.config.sources import Installs
from transform.derived_times import TimePart
from transform.feature import IMPRESSIONS, Feature
from transform.feature_spec import FeatureSpec

#: The size of the sketches of keys in a gate record, which is stored for years.
_NUM_KEYS = 200

#: A feature has slices by its most frequent values, at most so many, if these are nearly all of its occurrences. So a
#: rare value more does not remove the slices, and there are none by an id.
_MAX_SLICES, _NEARLY_ALL = 30, 0.99

#: The parts of a time of which a span can have values that no span of the weeks before has.
_OF_CALENDAR: tuple[TimePart, ...] = ("year", "month", "day")


def measure(columns: Columns, scores: Floats | None, ingested: Evidence, config: EvaluationSettings) -> SpanEvidence:
    """Measures a span.

    Args:
      columns: The span's examples, or a random sample of them.
      scores: float64 [n], the baseline's scores; NaN for an example that was not scored; None without a model.
      ingested: The evidence that ingestion wrote.
      config: The config.
    """
    columns = with_overlaps(columns, config.spec)
    draws = _Draws(columns, config)
    features: dict[str, Distribution] = {
        name: measure_tokens(count_tokens(t.codes, t.values), t.num_missing, draws.of(name, t.of_rows()))
        for name, t in columns.tokens.items()
    }
    features |= {
        name: measure_numbers(values, draws.of(name, np.unique(values, return_inverse=True)[1]))
        for name, values in columns.numbers.items()
    }
    slices, num_rows = _slices(columns), ingested.labels.negatives + ingested.labels.positives
    return SpanEvidence(
        ingested=_for_the_record(ingested),
        num_requests=draws.num_requests,
        label_version=config.sources.label_version,
        label_recipe=label_recipe(config),
        features=features,
        label_aucs=label_aucs(columns),
        slices={name: _labelled(columns.label[rows], None) for name, rows in slices.items()},
        ids=ids(config),
        of_calendar=of_calendar(config),
        sample=_labelled(columns.label, None),
        model=None if scores is None else _of_model(columns.label, scores, slices),
        position=measure_positions(columns, config, max(len(columns.label), num_rows)),
    )


class _Draws:
    """Counts the independent draws of which a feature's values are, for the divergence that is due to chance.

    An item's feature is drawn by the example, the context's by the request. Where the users are known, each distinct
    pair of user and value is one draw, however many requests it has: of a postal code there are as many as users. A
    user's id itself is drawn by the request: that other users come is a change. Pairs are not weighted by their
    examples, as in Kish's effective size of a sample of clusters: one bot with half of the examples would make it 4.

    Attributes:
      num_requests: The number of distinct requests.
    """

    def __init__(self, columns: Columns, config: EvaluationSettings):
        self.num_requests = len(np.unique(columns.request))
        self._num_rows = len(columns.label)
        self._of_context = {f.name for f in config.spec.features if f.side == "context"}
        self._ids = ids(config)
        self._user: Ints | None = None
        if config.user is not None:  # an example without a user counts by its request
            user = columns.tokens[config.user].of_rows()
            self._user = np.where(user < 0, -1 - columns.request, user)

    def of(self, name: str, codes: Ints) -> int:
        """Returns a feature's number of draws; `codes`, int64 [n], has equal numbers where the values are equal."""
        if name not in self._of_context:
            return self._num_rows
        if self._user is None or name in self._ids:
            return self.num_requests
        pairs = self._user * (codes.max(initial=0) + 2) + codes  # a code is at least -1, of a missing value
        return min(len(np.unique(pairs)), self.num_requests)


def _for_the_record(ingested: Evidence) -> Evidence:
    """Reduces the sketches: the smallest hashes of a sketch are a sketch, too."""
    logs = {name: dataclasses.replace(log, sketch=log.sketch[:SKETCH_ROWS]) for name, log in ingested.logs.items()}
    tables = {
        name: dataclasses.replace(table, keys=dict(sorted(table.keys.items())[:_NUM_KEYS]))
        for name, table in ingested.tables.items()
    }
    return dataclasses.replace(ingested, logs=logs, tables=tables)


def of_calendar(config: DataSettings) -> tuple[str, ...]:
    """Returns the features that the calendar changes: the log's that are derived as a year, a month or a day."""
    return tuple(f.name for f in config.features_of(IMPRESSIONS) if f.derive and f.derive.part in _OF_CALENDAR)


def ids(config: EvaluationSettings) -> tuple[str, ...]:
    """Returns the features that identify users or items.

    They are the item id, the features on which tables are joined, and those by which evaluation groups users.
    """
    joined = {table.log_column for table in config.sources.tables.values()}
    features = [f for f in config.spec.features if f.is_one_text or (f.is_list and f.one_hot is None)]
    found = {f.name for f in features if f.source_column in joined}
    users = {name for name in (config.user, config.evaluation.gauc_by) if name is not None}
    return tuple(sorted(found | users | ({config.item_id.name} if config.item_id else set())))


def label_recipe(config: DataSettings) -> str:
    """Returns a digest of everything in the config that determines the label.

    Settings with their default value are left out, so that a key added by a later version of this code changes no
    recipe.
    """
    log, installs = config.sources.impressions, config.sources.installs
    recipe: dict[str, Any] = {"label": log.label, "timestamp": log.timestamp if installs else None}
    if log.label_rule is not None:
        recipe["label_rule"] = dataclasses.asdict(log.label_rule)
    if installs is not None:
        defaults: dict[str, Any] = {"path": installs.path, "format": installs.format}
        if config.sources.are_served:  # the log's events always have these keys, and no others are allowed
            defaults |= {"keys": installs.keys, "timestamp": installs.timestamp}
            recipe["served"] = True
        by_default = dataclasses.replace(config.sources, installs=Installs(**defaults))
        same = _installs(dataclasses.replace(config, sources=by_default))
        recipe |= {name: value for name, value in _installs(config).items() if value != same[name]}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def _installs(config: DataSettings) -> dict[str, Any]:
    """Returns the settings of the installs.

    Late labels are left out: they are of other examples than a span's own, of which the label rates are.
    """
    found: dict[str, Any] = json.loads(config.to_json())["sources"]["installs"]
    return {name: value for name, value in found.items() if name != "late_labels"}


def with_overlaps(columns: Columns, spec: FeatureSpec) -> Columns:
    """Adds, for a list and a value with one vocabulary, whether the list has the value: `app_id in installed_apps`.

    It detects a table that was written after the impressions and so leaks their labels: the app is installed by then.
    """
    added = {}
    for many in (f for f in spec.features if f.is_list):
        for one in (f for f in spec.features if f.of_kind.column == "string"):
            if _vocabulary_name(one) == _vocabulary_name(many):
                name = f"{one.name} in {many.name}"
                added[name] = _overlap(columns.tokens[one.name], columns.tokens[many.name])
    return dataclasses.replace(columns, tokens={**columns.tokens, **added})


def _vocabulary_name(feature: Feature) -> str:
    """Returns the name of the feature whose vocabulary a feature uses: its own or another's."""
    return feature.vocabulary if isinstance(feature.vocabulary, str) else feature.name


def _overlap(one: Tokens, many: Tokens) -> Tokens:
    places = {value: place for place, value in enumerate(one.values)}
    as_one = np.array([places.get(value, -2) for value in many.values] or [-2], dtype=np.int64)[many.codes]
    is_in = np.zeros(one.num_rows, dtype=np.int64)
    is_in[many.rows[as_one == one.of_rows()[many.rows]]] = 1
    return Tokens(("no", "yes"), is_in, np.arange(one.num_rows), one.num_rows)


def _labelled(label: Ints, scores: Floats | None) -> Labelled:
    return Labelled(len(label), int(label.sum()), None if scores is None else float(scores.sum()))


def _of_model(label: Ints, scores: Floats, slices: Mapping[str, Ints]) -> ModelEvidence:
    is_scored = ~np.isnan(scores)

    def auc_of(rows: Ints) -> float | None:
        scored = rows[is_scored[rows]]
        return auc(scores[scored], label[scored] == 1, np.ones(len(scored)))

    return ModelEvidence(
        _labelled(label[is_scored], scores[is_scored]),
        auc_of(np.arange(len(label))),
        {name: found for name, rows in slices.items() if (found := auc_of(rows)) is not None},
    )


def _slices(columns: Columns) -> dict[str, Ints]:
    """Returns the indices of each slice's examples."""
    found = {}
    for name, tokens in columns.tokens.items():
        counts = np.bincount(tokens.codes, minlength=len(tokens.values)).tolist()
        # Of values that are equally frequent, the first ones in the alphabet, whatever the order of the examples.
        codes = heapq.nsmallest(_MAX_SLICES, range(len(counts)), key=lambda code: (-counts[code], tokens.values[code]))
        if len(codes) > 1 and sum(counts[code] for code in codes) >= _NEARLY_ALL * len(tokens.codes):
            for code in codes:
                found[f"{name} = {tokens.values[code]}"] = np.unique(tokens.rows[tokens.codes == code])
    return found
