"""Loads a SavedModel in this process and scores recorded requests: `python -m serving.dry_run` (paper, section 4.3).

TensorFlow is all it imports, as a model server has nothing else. The verdict goes to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import tensorflow as tf

SIGNATURE = "serving_default"
BATCH_SIZE = 200


def judge(model_path: str, requests_path: str) -> dict[str, Any]:
    """Scores every request.

    Args:
      model_path: The SavedModel.
      requests_path: A TFRecord file of serialized raw tf.Examples.

    Returns:
      `problem`, one sentence or the empty string, and, as far as it came, `load_seconds`, `num_requests`,
      `first_batch_seconds`, `median_batch_seconds`, `min_score`, `max_score`.
    """
    started = time.monotonic()
    model = tf.saved_model.load(model_path)
    report: dict[str, Any] = {"load_seconds": time.monotonic() - started}
    if SIGNATURE not in model.signatures:
        found = sorted(model.signatures)
        return {**report, "problem": f"the model must have the signature {SIGNATURE!r}. Received: {found}"}
    signature = model.signatures[SIGNATURE]
    requests = list(tf.data.TFRecordDataset(requests_path).as_numpy_iterator())
    scores, seconds = [], []
    for at in range(0, len(requests), BATCH_SIZE):
        batch = tf.constant(requests[at : at + BATCH_SIZE])
        started = time.monotonic()
        (output,) = signature(batch).values()
        scores.append(output.numpy())
        seconds.append(time.monotonic() - started)
    all_scores = np.concatenate(scores)
    report |= {
        "num_requests": len(requests),
        "first_batch_seconds": seconds[0],
        "median_batch_seconds": float(np.median(seconds)),
    }
    if all_scores.shape != (len(requests),):
        problem = f"the model must give one score a request. Received: shape {all_scores.shape} for {len(requests)}"
        return {**report, "problem": problem}
    bad = int(np.count_nonzero(~np.isfinite(all_scores)))
    if bad:
        return {**report, "problem": f"every score must be finite. Received: {bad} of {len(requests)} that are not"}
    lowest, highest = float(all_scores.min()), float(all_scores.max())
    report |= {"min_score": lowest, "max_score": highest}
    if lowest < 0 or highest > 1:
        return {**report, "problem": f"scores must lie in [0, 1]. Received: {lowest} to {highest}"}
    if lowest == highest:
        return {**report, "problem": f"scores must differ between requests. Received: {lowest} for all"}
    return {**report, "problem": ""}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the SavedModel")
    parser.add_argument("--requests", required=True, help="a TFRecord file of raw tf.Examples")
    parser.add_argument("--verdict", required=True, help="the JSON file to write")
    arguments = parser.parse_args()
    verdict = judge(arguments.model, arguments.requests)
    with open(arguments.verdict, "w", encoding="utf-8") as file:
        json.dump(verdict, file)


if __name__ == "__main__":
    main()
