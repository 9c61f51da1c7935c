"""The scores of the evaluation examples, from the histogram that the Evaluator stores for TFMA's calibration plot.

It has 1,000 buckets of equal width, so a curve has a point for every thousandth of the score.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

CANDIDATE, BASELINE = "candidate", "baseline"

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Weighted examples by bucket of the score, ascending.

    Attributes:
      examples: The examples' weight, float64 `[buckets]`.
      positives: The weight of those with label 1, float64 `[buckets]`.
      scores: The weighted sum of their scores, float64 `[buckets]`.
    """

    examples: Floats
    positives: Floats
    scores: Floats

    @property
    def negatives(self) -> Floats:
        """The weight of the examples with label 0, float64 `[buckets]`."""
        return self.examples - self.positives


def read_histograms(evaluation_uri: str) -> dict[str, Histogram]:
    """Reads the scores over all examples; by `candidate` and, if there was one, `baseline`."""
    import tensorflow_model_analysis as tfma  # here: it takes seconds, and many runs have no evaluation

    found = {}
    for record in tfma.load_plots(evaluation_uri):
        if record.slice_key.single_slice_keys:
            continue
        for entry in record.plot_keys_and_values:
            buckets = [b for b in entry.value.calibration_histogram_buckets.buckets if b.num_weighted_examples.value]
            if buckets:
                name = BASELINE if entry.key.model_name == tfma.BASELINE_KEY else CANDIDATE
                columns = (
                    [b.num_weighted_examples.value for b in buckets],
                    [b.total_weighted_label.value for b in buckets],
                    [b.total_weighted_refined_prediction.value for b in buckets],
                )
                found[name] = Histogram(*(np.asarray(column, np.float64) for column in columns))
    return {name: found[name] for name in (CANDIDATE, BASELINE) if name in found}
