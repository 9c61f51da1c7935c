"""Calls a model's ranking and explaining signatures as production does, and checks that their answers are consistent.

A ranking's scores are put back into the request's order, and the parts of an explanation are added up to a score.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from serving.dry_run.loading import ModelError, in_a_line
from transform.signature_names import (
    BIAS_OUTPUT,
    CONTEXT_INPUT,
    DEEP_ATTRIBUTIONS_OUTPUT,
    DEEP_BASELINE_LOGITS_OUTPUT,
    DEEP_GAPS_OUTPUT,
    DEEP_LOGITS_OUTPUT,
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    RANK_NAMED_SIGNATURE,
    SCORES_OUTPUT,
    WIDE_LOGITS_OUTPUT,
    WIDE_WEIGHTS_OUTPUT,
)

#: The most by which a score may differ from the sigmoid of its logits, and a sum from its parts; and the
#: most by which a score may exceed the one before it: TensorFlow's sigmoid of one number may differ in the last bit
#: between a vector's positions.
_TOLERANCE = 1e-5


def inputs_of(
    signature: Any, name: str, contexts: Sequence[bytes], item_ids: np.ndarray, items: np.ndarray | None
) -> dict[str, tf.Tensor]:
    """Makes the inputs of a ranking signature, by name.

    Args:
      signature: The signature.
      name: Its name.
      contexts: Serialized tf.Examples of the context features, one per request.
      item_ids: Candidates, bytes `[requests, candidates]`.
      items: Their item features, bytes `[requests, candidates]`; read only for `rank_items`.
    """
    inputs = {ITEM_IDS: tf.constant(item_ids, tf.string)}
    if name == RANK_NAMED_SIGNATURE:
        (_, specs) = signature.structured_input_signature
        return inputs | _named(contexts, {key: spec for key, spec in specs.items() if key != ITEM_IDS})
    inputs[CONTEXT_INPUT] = tf.constant(contexts, tf.string)
    return inputs | ({ITEMS_INPUT: tf.constant(items, tf.string)} if name == RANK_ITEMS_SIGNATURE else {})


def _named(contexts: Sequence[bytes], specs: Mapping[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """The contexts as one tensor per feature; an empty string or NaN is a missing value."""
    rows = [tf.train.Example.FromString(context).features.feature for context in contexts]
    tensors = {}
    for name, spec in specs.items():
        nothing: Any = b"" if spec.dtype == tf.string else float("nan")
        kind = "bytes_list" if spec.dtype == tf.string else "float_list"
        values = [list(getattr(row[name], kind).value) if name in row else [] for row in rows]
        if spec.shape.rank == 1:
            tensors[name] = tf.constant([(*of_row, nothing)[0] for of_row in values], spec.dtype)
        else:
            longest = max(map(len, values), default=0)
            filled = [[*of_row, *[nothing] * (longest - len(of_row))] for of_row in values]
            tensors[name] = tf.reshape(tf.constant(filled, spec.dtype), [len(rows), longest])
    return tensors


def scores_in_order(call: Callable[..., Any], name: str, inputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    """Ranks requests and returns the scores in the given order.

    Returns:
      Each candidate's score, float32 `[requests, candidates]`, in the order of the inputs.

    Raises:
      ModelError: If the signature cannot rank them, a score is not the sigmoid of its logits' sum, or the answer breaks
        a rule of `in_given_order`.
    """
    try:
        outputs = {key: value.numpy() for key, value in call(**inputs).items()}
        ranked, scores = outputs[ITEM_IDS], outputs[SCORES_OUTPUT]
        sigmoid = tf.sigmoid(outputs[WIDE_LOGITS_OUTPUT] + outputs[DEEP_LOGITS_OUTPUT]).numpy()
    except Exception as error:  # whatever the graph raises, the parent process needs the reason
        raise ModelError(f"the model must rank items by `{name}`. Received: {in_a_line(error)}") from error
    off = np.abs(sigmoid - scores)[ranked != b""]
    if np.any(off > _TOLERANCE):
        raise ModelError(
            f"`{name}` must give the sigmoid of its logits' sum as the score. Received: a difference of {off.max():.3g}"
        )
    return np.stack(
        [in_given_order(name, *row) for row in zip(inputs[ITEM_IDS].numpy(), ranked, scores, strict=True)]
    ).astype(np.float32)


def in_given_order(name: str, given: Sequence[bytes], ranked: Sequence[bytes], scores: np.ndarray) -> np.ndarray:
    """Returns one request's scores in the order in which its candidates were given.

    Args:
      name: The signature's name, for error messages.
      given: The candidates; duplicates are allowed.
      ranked: The candidates as the model returned them.
      scores: Their scores, best first.

    Returns:
      The scores, `[candidates]`.

    Raises:
      ModelError: If the ranked candidates are not the given ones, or a later one has a higher score.
    """
    if collections.Counter(given) != collections.Counter(ranked):
        raise ModelError(f"`{name}` must give back each candidate as often as it was given. Received: others")
    if np.any(np.diff(scores) > _TOLERANCE):
        raise ModelError(f"`{name}` must give the best candidate first. Received: a higher score behind a lower one")
    scores_of: dict[bytes, collections.deque[float]] = collections.defaultdict(collections.deque)
    for item_id, score in zip(ranked, scores, strict=True):
        scores_of[item_id].append(score)
    return np.array([scores_of[item_id].popleft() for item_id in given])


def explained_scores(call: Callable[..., Any], name: str, inputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    """Returns the scores that explanations add up to, float32 of the inputs' shape.

    Raises:
      ModelError: If the signature cannot explain them, or its parts do not add up to its own score or deep logit.
    """
    try:
        outputs = {key: value.numpy() for key, value in call(**inputs).items()}
        wide, deep = (outputs[key].sum(axis=-1) for key in (WIDE_WEIGHTS_OUTPUT, DEEP_ATTRIBUTIONS_OUTPUT))
        logits = outputs[BIAS_OUTPUT] + wide + outputs[DEEP_LOGITS_OUTPUT]
        deep_logits = outputs[DEEP_BASELINE_LOGITS_OUTPUT] + deep + outputs[DEEP_GAPS_OUTPUT]
        off = np.abs(deep_logits - outputs[DEEP_LOGITS_OUTPUT])
        scores: np.ndarray = tf.sigmoid(logits).numpy().astype(np.float32)
        off_scores = np.abs(scores - outputs[SCORES_OUTPUT])
    except Exception as error:  # whatever the graph raises, the parent process needs the reason
        raise ModelError(f"the model must explain scores by `{name}`. Received: {in_a_line(error)}") from error
    # Written so that NaN is refused, too. Logits may be large, so their differences are relative to them.
    if not np.all(off <= _TOLERANCE * np.maximum(1, np.abs(outputs[DEEP_LOGITS_OUTPUT]))):
        raise ModelError(
            f"`{name}`'s attributions and gap must add up to the deep logit. Received: {off.max():.3g} off"
        )
    if not np.all(off_scores <= _TOLERANCE):
        raise ModelError(f"`{name}`'s parts must add up to its score. Received: {off_scores.max():.3g} off")
    return scores
