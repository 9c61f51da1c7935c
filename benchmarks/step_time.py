"""Whether a step takes longer with larger tables: `python -m benchmarks.step_time`.

The model has one feature, with a 32-wide embedding and one wide weight per id, and the paper's hidden layers. The same
steps are run with 10,000 and with 1,000,000 rows, alternately, a few steps at a time. Ids are drawn uniformly in two
ways. Drawn from all rows, larger tables have fewer repeated rows per batch, and fewer rows in the processor's caches.
Drawn from 10,000 ids spread over the table, both sizes have the same number of distinct ids per batch.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from rich.table import Table

from pipeline.cli.display import console_for
from trainer.optimizers import JointOptimizer
from trainer.training.step import train_step
from trainer.training_size import sized
from trainer.wide_deep.model import WideDeep
from transform.config import settings
from transform.feature import Feature, Vocabulary
from transform.feature_spec import FeatureSpec, transformed_name

SMALL_ROWS = 10_000
LARGE_ROWS = 1_000_000
BATCH_SIZES = (512, 4096)
NUM_ROUNDS = 25
#: Consecutive steps of one size, and number of different batches: they have more rows than the caches hold.
NUM_STEPS = 4
NUM_BATCHES = 64

_FEATURE = "item"

#: Runs one step on the batch with the given number, and waits for it.
Step = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Times:
    """Wall-clock and processor seconds per step in each round, with small and with large tables."""

    small: tuple[tuple[float, float], ...]
    large: tuple[tuple[float, float], ...]

    @property
    def ratios(self) -> list[float]:
        """Large ÷ small in wall-clock time, by round: within a round, one is measured right after the other."""
        return [large / small for (small, _), (large, _) in zip(self.small, self.large, strict=True)]

    @property
    def processor_ratio(self) -> float:
        """The median of large ÷ small in processor time, which other load on the machine hardly affects."""
        return statistics.median(large / small for (_, small), (_, large) in zip(self.small, self.large, strict=True))


def make_step(rows: int, distinct_ids: int, batch_size: int, hidden_units: Sequence[int]) -> Step:
    """Returns a step of a model with `rows` rows per table, on ids drawn uniformly from `distinct_ids` spread rows."""
    feature = Feature(name=_FEATURE, side="item", kind="categorical", vocabulary=Vocabulary())
    architecture = settings.Model(embedding_dim=32, hidden_units=tuple(hidden_units), dropout=0.0)
    model = WideDeep(FeatureSpec(features=(feature,)), architecture, {_FEATURE: rows - 1})
    ftrl = settings.Ftrl(learning_rate=0.05, l1=0.001, initial_accumulator=0.1)
    optimizers = JointOptimizer(model, sized(settings.Training(wide_optimizer=ftrl), batch_size))
    rng = np.random.default_rng(1)
    ids = rng.integers(distinct_ids, size=(NUM_BATCHES, batch_size)) * (rows // distinct_ids)
    labels = rng.integers(2, size=(NUM_BATCHES, batch_size)).astype(np.float32)
    batches = [
        ({transformed_name(_FEATURE): tf.constant(ids[i])}, tf.constant(labels[i]), tf.ones(batch_size))
        for i in range(NUM_BATCHES)
    ]
    do_step = tf.function(lambda batch: train_step(model, optimizers, batch), autograph=False)

    def step(number: int) -> None:
        do_step(batches[number % NUM_BATCHES])[0].numpy()

    return step


def measure(small: Step, large: Step, num_rounds: int) -> Times:
    """Times both alternately, after two rounds that are not counted; the order alternates."""
    seconds: dict[Step, list[tuple[float, float]]] = {small: [], large: []}
    for number in range(num_rounds + 2):
        for step in (small, large) if number % 2 else (large, small):
            wall, processor = time.perf_counter(), time.process_time()
            for i in range(NUM_STEPS):
                step(number * NUM_STEPS + i)
            spent = time.perf_counter() - wall, time.process_time() - processor
            seconds[step].append((spent[0] / NUM_STEPS, spent[1] / NUM_STEPS))
    return Times(tuple(seconds[small][2:]), tuple(seconds[large][2:]))


def main() -> None:
    """Prints, for each batch size and way of drawing ids, the median step times, and their ratio with its spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    parser.add_argument("--rows", type=int, nargs=2, default=(SMALL_ROWS, LARGE_ROWS), metavar=("SMALL", "LARGE"))
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--hidden-units", type=int, nargs="+", default=(1024, 512, 256))
    arguments = parser.parse_args()
    small_rows, large_rows = arguments.rows
    title = f"step time with tables of {large_rows:,} rows against {small_rows:,}; {arguments.rounds} rounds"
    table = Table(title=title)
    for column in ("batch", "ids", "small, ms", "large, ms", "ratio", "middle half of rounds", "processor time"):
        table.add_column(column, justify="left" if column == "ids" else "right")
    for batch_size in arguments.batch_sizes:
        for name, distinct_ids in (("of all rows", large_rows), (f"of {small_rows:,} rows", small_rows)):
            small = make_step(small_rows, small_rows, batch_size, arguments.hidden_units)
            large = make_step(large_rows, distinct_ids, batch_size, arguments.hidden_units)
            times = measure(small, large, arguments.rounds)
            low, middle, high = statistics.quantiles(times.ratios, n=4)
            milliseconds = (
                f"{statistics.median(s for s, _ in seconds) * 1000:.2f}" for seconds in (times.small, times.large)
            )
            ratios = (f"{middle:.3f}", f"{low:.3f} to {high:.3f}", f"{times.processor_ratio:.3f}")
            table.add_row(f"{batch_size:,}", name, *milliseconds, *ratios)
    console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
