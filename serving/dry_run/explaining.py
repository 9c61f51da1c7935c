"""Calls a model's explaining signatures, and adds up what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from serving.dry_run.loading import ModelError, in_a_line
from transform.signature_names import (
    BIAS_OUTPUT,
    DEEP_ATTRIBUTIONS_OUTPUT,
    DEEP_BASELINE_LOGITS_OUTPUT,
    DEEP_GAPS_OUTPUT,
    DEEP_LOGITS_OUTPUT,
    SCORES_OUTPUT,
    WIDE_WEIGHTS_OUTPUT,
)

_TOLERANCE = 1e-5


def explained_scores(call: Callable[..., Any], name: str, inputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    """Returns the scores that explanations add up to, float32 of the inputs' shape.

    Args:
      call: The signature.
      name: Its name, for error messages.
      inputs: Its inputs.

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
