"""Explanations of a ranking's items: what each weight, and each feature, adds to an item's logit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from serving.ranking_client.errors import RankingError, RequestError
from serving.ranking_client.features import Candidates
from serving.ranking_client.messages import output, predict_request, read_floats
from serving.ranking_client.ranked import Explanation, RankedItem, Summand
from serving.ranking_client.settings import ClientSettings
from serving.ranking_client.signatures import ModelSignatures
from transform.signature_names import (
    BIAS_OUTPUT,
    DEEP_ATTRIBUTIONS_OUTPUT,
    DEEP_BASELINE_LOGITS_OUTPUT,
    DEEP_FEATURES_OUTPUT,
    DEEP_GAPS_OUTPUT,
    DEEP_LOGITS_OUTPUT,
    DEEP_VALUES_OUTPUT,
    EXPLAIN_ITEMS_SIGNATURE,
    EXPLAIN_SIGNATURE,
    MAX_EXPLAINED,
    RANK_ITEMS_SIGNATURE,
    SERVING_SIGNATURE,
    WIDE_FEATURES_OUTPUT,
    WIDE_VALUES_OUTPUT,
    WIDE_WEIGHTS_OUTPUT,
)

_TEXTS = (WIDE_FEATURES_OUTPUT, WIDE_VALUES_OUTPUT, DEEP_FEATURES_OUTPUT, DEEP_VALUES_OUTPUT)
_NUMBERS = (
    BIAS_OUTPUT,
    WIDE_WEIGHTS_OUTPUT,
    DEEP_LOGITS_OUTPUT,
    DEEP_BASELINE_LOGITS_OUTPUT,
    DEEP_ATTRIBUTIONS_OUTPUT,
    DEEP_GAPS_OUTPUT,
)
#: The outputs of an explanation: of texts, and of numbers.
EXPLANATION_OUTPUTS = _TEXTS, _NUMBERS


def check_explained(candidates: Candidates, k: int | None, known: ModelSignatures) -> None:
    """Raises RequestError unless the best `k` of the candidates can be explained by the model."""
    number = min(len(candidates.ids), k or len(candidates.ids))
    if number > MAX_EXPLAINED:
        raise RequestError(
            f"at most {MAX_EXPLAINED} candidates can be explained; `k` limits them. Received: {number:,}"
        )
    if EXPLAIN_SIGNATURE not in known.names:
        raise RequestError(
            f"explanations need a model with the signature `{EXPLAIN_SIGNATURE}`, which one exported by an earlier "
            f"release lacks. Received: version {known.version} without it"
        )


def explained_candidates(candidates: Candidates, items: Sequence[RankedItem]) -> Candidates:
    """Returns the candidates to explain: for each ranked item, the different candidates that have its id.

    An answer has ids, not candidates: of an id with several features, it does not say which candidate an item is.

    Args:
      candidates: The candidates of the request.
      items: The best of them.

    Raises:
      RequestError: If they are more than `MAX_EXPLAINED`.
    """
    best = {item.item_id.encode() for item in items}
    pairs = dict.fromkeys(pair for pair in zip(candidates.ids, candidates.items, strict=True) if pair[0] in best)
    if len(pairs) > MAX_EXPLAINED:
        raise RequestError(
            f"at most {MAX_EXPLAINED} different candidates with the ids of the best can be explained. "
            f"Received: {len(pairs):,}"
        )
    return Candidates(tuple(item_id for item_id, _ in pairs), tuple(item for _, item in pairs))


def explanations_of_items(
    explained: Candidates, found: Sequence[Explanation], candidates: Candidates, items: Sequence[RankedItem]
) -> tuple[Explanation, ...]:
    """Returns the explanation of each ranked item.

    The first item of an id is the candidate of this id with the highest logit, and so on.

    Args:
      explained: As `explained_candidates` returned them.
      found: Their explanations.
      candidates: The candidates of the request.
      items: The best of them, best first.
    """
    of_candidate = dict(zip(zip(explained.ids, explained.items, strict=True), found, strict=True))
    of_id: dict[bytes, list[Explanation]] = {item_id: [] for item_id in explained.ids}
    for pair in zip(candidates.ids, candidates.items, strict=True):
        if pair in of_candidate:
            of_id[pair[0]].append(of_candidate[pair])
    in_order = {
        item_id: iter(sorted(of_one, key=lambda explanation: -explanation.logit)) for item_id, of_one in of_id.items()
    }
    return tuple(next(in_order[item.item_id.encode()]) for item in items)


def explain_request(settings: ClientSettings, ranked_by: str, context: bytes, explained: Candidates) -> Any:
    """Makes the PredictRequest for explanations.

    Args:
      settings: The client's settings.
      ranked_by: The signature that ranked the candidates.
      context: The context as a serialized tf.Example.
      explained: The candidates to explain.

    Returns:
      The request; it names no output, so all are returned.

    Raises:
      RequestError: If it is too long.
    """
    as_rows = ranked_by == SERVING_SIGNATURE
    inputs_of = SERVING_SIGNATURE if as_rows else RANK_ITEMS_SIGNATURE
    request = predict_request(settings, inputs_of, context, explained, logits=False)
    request.model_spec.signature_name = EXPLAIN_SIGNATURE if as_rows else EXPLAIN_ITEMS_SIGNATURE
    del request.output_filter[:]
    return request


def read_explanations(response: Any, number: int) -> tuple[Explanation, ...]:
    """Reads the explanations from the response to `explain_request`: one a candidate, in the request's order.

    Raises:
      RankingError: If an output is missing, or has another number of values.
    """
    texts = {name: list(output(response, name).string_val) for name in _TEXTS}
    numbers = {name: read_floats(response, name) for name in _NUMBERS}
    try:
        return make_explanations(texts, numbers, number)
    except ValueError as error:
        raise RankingError(
            grpc.StatusCode.INTERNAL, f"an explanation's outputs must fit each other: {error}"
        ) from error


def make_explanations(
    texts: Mapping[str, Sequence[bytes]], numbers: Mapping[str, Sequence[float]], number: int
) -> tuple[Explanation, ...]:
    """Makes explanations from a signature's outputs.

    Args:
      texts: The values of each output of texts, row by row.
      numbers: The values of each output of numbers, row by row.
      number: The number of rows.

    Returns:
      One explanation a row.

    Raises:
      ValueError: If an output has another number of values, or a number is not finite.
    """
    for name, values in numbers.items():
        if not all(map(math.isfinite, values)):
            raise ValueError(f"`{name}` must have finite numbers. Received: others")
    wide = _summands(texts[WIDE_FEATURES_OUTPUT], texts[WIDE_VALUES_OUTPUT], numbers[WIDE_WEIGHTS_OUTPUT], number)
    deep = _summands(texts[DEEP_FEATURES_OUTPUT], texts[DEEP_VALUES_OUTPUT], numbers[DEEP_ATTRIBUTIONS_OUTPUT], number)
    single = (
        numbers[name] for name in (BIAS_OUTPUT, DEEP_LOGITS_OUTPUT, DEEP_BASELINE_LOGITS_OUTPUT, DEEP_GAPS_OUTPUT)
    )
    rows = zip(*single, wide, deep, strict=True)
    found = [Explanation(bias, terms, logit, base, parts, gap) for bias, logit, base, gap, terms, parts in rows]
    if len(found) != number:
        raise ValueError(f"there must be {number} rows. Received: {len(found)}")
    return tuple(found)


def _summands(
    features: Sequence[bytes], values: Sequence[bytes], logits: Sequence[float], number: int
) -> list[tuple[Summand, ...]]:
    """Each row's summands, without those that pad it."""
    width = len(features) // number
    flat = [
        Summand(_text(feature), _text(value), logit)
        for feature, value, logit in zip(features, values, logits, strict=True)
    ]
    if len(flat) != width * number:
        raise ValueError(f"each of {number} rows must have as many values. Received: {len(flat):,} in all")
    rows = (flat[row * width : (row + 1) * width] for row in range(number))
    return [tuple(summand for summand in row if summand.feature) for row in rows]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
