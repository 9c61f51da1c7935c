"""How much sooner a warm start reaches the quality of a cold start: `python -m benchmarks.warm_start`.

On the simulated store, each day's model is warm-started from that of the day before; the first day's is cold-started.
The last day's model is also cold-started and trained to the end. On the last day's validation examples, it is compared
with the warm start after up to a fifth of the cold start's steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from rich.table import Table

from benchmarks.transformed import Transformed, serving_model_dir, transform_span
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from trainer.training.evaluation import evaluate, logits_function
from trainer.training.setup import TrainingSetup
from trainer.training.step import steps_function
from trainer.warm_start.warm_start import save_warm_start
from transform.config.config import Config
from transform.config.config_file import load_config

CONFIG = Path(__file__).parent.parent / "configs" / "app_store.yaml"
#: The shares of the cold start's steps after which the warm start is validated.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)

NUM_DAYS = 4
NUM_IMPRESSIONS = 100_000
NUM_USERS = 20_000
NUM_APPS = 2_000


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One seed's trainings on the last day.

    Attributes:
      seed: The seed.
      cold_steps: Number of steps of the cold start.
      cold_auc: The cold start's validation AUC at the end.
      warm_aucs: The warm start's validation AUC after each of `SHARES`.
    """

    seed: int
    cold_steps: int
    cold_auc: float
    warm_aucs: tuple[float, ...]

    @property
    def share_needed(self) -> float | None:
        """The share of the cold start's steps at which the warm start is as good; None if it is at none of `SHARES`."""
        return next((s for s, auc in zip(SHARES, self.warm_aucs, strict=True) if auc >= self.cold_auc), None)


def aucs_after(prepared: TrainingSetup, steps: Sequence[int]) -> tuple[float, ...]:
    """Trains up to each of `steps` (ascending, within one epoch) and validates there."""
    do_steps = steps_function(prepared.model, prepared.optimizers, prepared.config.training.negative_sampling_rate)
    logits_of = logits_function(prepared.model)
    batches, done, aucs = iter(prepared.train_data(1)), 0, []
    for until in steps:
        do_steps(batches, tf.constant(until - done, tf.int64), tf.zeros([], tf.float64), tf.zeros([], tf.float64))
        done = until
        auc = evaluate(logits_of, prepared.eval_data).auc
        assert auc is not None  # both labels occur in a simulated day
        aucs.append(auc)
    return tuple(aucs)


def compare(days: Sequence[Transformed], seed: int, folder: Path) -> Comparison:
    """Trains day after day, and on the last day both cold and warm.

    Args:
      days: The days, at least two.
      seed: The seed of all trainings.
      folder: The folder for the earlier days' models.

    Returns:
      The comparison.
    """
    *earlier, last = days
    config = dataclasses.replace(last.config, training=dataclasses.replace(last.config.training, seed=seed))
    base_model = None
    for number, day in enumerate(earlier, start=1):
        trained = day.prepare(config, base_model)
        trained.train()
        base_model = str(serving_model_dir(folder / str(number)))  # a warm start needs no export, only its own files
        training, transform_state = trained.config.training, trained.transform_state
        save_warm_start(trained.model, trained.optimizers, config.spec, training, transform_state, base_model)
    cold = last.prepare(config).train()
    warm = last.prepare(config, base_model)
    assert cold.validation.auc is not None  # both labels occur in a simulated day
    aucs = aucs_after(warm, [round(share * cold.num_steps) for share in SHARES])
    return Comparison(seed, cold.num_steps, cold.validation.auc, aucs)


def transform_days(config: Config, data: Path, workspace: Path, num_days: int) -> list[Transformed]:
    """Ingests and transforms days 1 to `num_days`, each with a window of its own span only."""
    alone = dataclasses.replace(config, ingestion=dataclasses.replace(config.ingestion, window_spans=1))
    return [transform_span(alone, data, workspace, span) for span in range(1, num_days + 1)]


def main() -> None:
    """Prints, for each seed, the cold start's AUC and the warm start's after each share of its steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(
            folder / "data",
            num_days=NUM_DAYS,
            impressions_per_day=NUM_IMPRESSIONS,
            num_users=NUM_USERS,
            num_apps=NUM_APPS,
        )
        days = transform_days(load_config(CONFIG), folder / "data", folder / "workspace", NUM_DAYS)
        table = Table(title=f"validation AUC of day {NUM_DAYS}")
        for column in ("seed", "cold start", "steps", *(f"warm, {share:.0%} of them" for share in SHARES), "needed"):
            table.add_column(column, justify="right")
        for seed in range(1, arguments.seeds + 1):
            result = compare(days, seed, folder / f"model-{seed}")
            needed = "more" if result.share_needed is None else f"{result.share_needed:.0%}"
            aucs = [f"{auc:.4f}" for auc in (result.cold_auc, *result.warm_aucs)]
            table.add_row(str(seed), aucs[0], f"{result.cold_steps:,}", *aucs[1:], needed)
        console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
