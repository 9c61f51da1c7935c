"""How fast the paper's architecture trains: `python -m benchmarks.training_speed`.

Examples per second, input reading included, against what the machine could do at most, the rate of the dense layers'
matrix products alone, and against `tf_keras.experimental.WideDeepModel` with stock optimizers on the same examples.
All are measured in turn, in every round; a round's first batch, behind which the graph and the shuffle buffer stand, is
not counted. Shares are also given of processor seconds, as other load on the machine does not enter them.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from rich.console import Console
from rich.table import Table

from benchmarks.machine import flops_per_example, matmul_rates
from benchmarks.paper_model import MODEL, PaperModel
from benchmarks.stock_model import StockModel
from trainer.data import train_dataset
from trainer.model import WideDeep
from trainer.optimizers import JointOptimizer
from trainer.step import steps_function
from transform import settings

LARGE_ROWS = 1_000_000
BATCH_SIZES = (512, 4096)
NUM_EXAMPLES = 131_072
NUM_FILES = 2
NUM_ROUNDS = 5
#: Small against the examples, so that a round is mostly training; filling it costs as much per example as reading.
SHUFFLE_BUFFER = 8_192
TRAINING = settings.Training(shuffle_buffer=SHUFFLE_BUFFER, wide_optimizer=settings.Ftrl(l1=0.001))


@dataclasses.dataclass(frozen=True)
class Speed:
    """Examples per wall-clock second and per processor second."""

    wall: float
    processor: float


@dataclasses.dataclass(frozen=True)
class Round:
    """One round's speeds: of the matrix products alone, of this trainer and of the stock model."""

    bound: Speed
    ours: Speed
    stock: Speed


class Ours:
    """This trainer's steps."""

    def __init__(self, model: WideDeep) -> None:
        self._do_steps = steps_function(model, JointOptimizer(model, TRAINING), TRAINING.negative_fraction)

    def speed(self, batches: tf.data.Dataset, batch_size: int, num_batches: int) -> Speed:
        """Trains on all batches."""
        iterator, zero = iter(batches), tf.zeros([], tf.float64)
        self._do_steps(iterator, tf.constant(1, tf.int64), zero, zero)[-1].numpy()
        wall, processor = time.perf_counter(), time.process_time()
        self._do_steps(iterator, tf.constant(num_batches, tf.int64), zero, zero)[-1].numpy()
        num_examples = batch_size * (num_batches - 1)
        return Speed(num_examples / (time.perf_counter() - wall), num_examples / (time.process_time() - processor))


def stock_speed(stock: StockModel, batches: tf.data.Dataset, batch_size: int, num_batches: int) -> Speed:
    """As `Ours.speed`, of the stock model."""
    clock = stock.fit(batches)
    num_examples = batch_size * (num_batches - 1)
    return Speed(num_examples / clock.seconds, num_examples / clock.processor_seconds)


class Bound:
    """The network's matrix products alone."""

    def __init__(self, batch_size: int, widths: Sequence[int]) -> None:
        self._measure = matmul_rates(batch_size, widths)
        self._rates: list[tuple[float, float]] = []

    def add(self, num_batches: int) -> None:
        """Measures so many batches more."""
        self._rates += [self._measure() for _ in range(num_batches)]

    @property
    def speed(self) -> Speed:
        """The median over all batches so far."""
        return Speed(*(statistics.median(column) for column in zip(*self._rates, strict=True)))


def measure(
    paper: PaperModel, num_examples: int, batch_sizes: Sequence[int], num_rounds: int
) -> dict[int, list[Round]]:
    """All rounds by batch size; `num_examples` is a multiple of each batch size."""
    model = WideDeep(paper.spec, MODEL, paper.vocabulary_sizes)
    stock, ours = StockModel(model, TRAINING), Ours(model)
    widths = layer_widths(model)
    rounds: dict[int, list[Round]] = {batch_size: [] for batch_size in batch_sizes}
    with tempfile.TemporaryDirectory() as folder:
        pattern = paper.write_examples(Path(folder), num_examples, NUM_FILES)
        for number in range(num_rounds + 1):
            for batch_size, measured in rounds.items():
                training = dataclasses.replace(TRAINING, batch_size=batch_size)
                batches = train_dataset([pattern], paper.parse_spec, training, epoch=number + 1)
                num_batches = num_examples // batch_size
                bound = Bound(batch_size, widths)
                bound.add(num_batches // 2)
                our_speed = ours.speed(batches, batch_size, num_batches)
                bound.add(num_batches // 2)  # before and behind, as the load changes
                one = Round(bound.speed, our_speed, stock_speed(stock, batches, batch_size, num_batches))
                if number > 0:  # the first one traces the graphs and touches each table's memory first
                    measured.append(one)
    return rounds


def layer_widths(model: WideDeep) -> tuple[int, ...]:
    """The widths of the deep part's input, hidden layers and output."""
    return (sum(block.width for block in model.layout), *model.settings.hidden_units, 1)


def results(rounds: dict[int, list[Round]]) -> Table:
    """The table of medians, with the lowest and the highest round."""
    table = Table(title="training speed over the rounds")
    for column in ("batch", "", "median", "lowest", "highest"):
        table.add_column(column, justify="right" if column else "left")
    for batch_size, measured in rounds.items():
        quantities = {
            "this trainer, examples/s": (",.0f", [r.ours.wall for r in measured]),
            "matrix products alone, examples/s": (",.0f", [r.bound.wall for r in measured]),
            "stock model, examples/s": (",.0f", [r.stock.wall for r in measured]),
            "share of the matrix products' speed": (".0%", [r.ours.wall / r.bound.wall for r in measured]),
            "same, per processor second": (".0%", [r.ours.processor / r.bound.processor for r in measured]),
            "times the stock model's speed": (".2f", [r.ours.wall / r.stock.wall for r in measured]),
            "same, per processor second ": (".2f", [r.ours.processor / r.stock.processor for r in measured]),
        }
        for name, (how, values) in quantities.items():
            numbers = (f"{value:{how}}" for value in (statistics.median(values), min(values), max(values)))
            table.add_row(f"{batch_size:,}", name, *numbers)
        table.add_section()
    return table


def main() -> None:
    """Prints the architecture, the machine's rate and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    parser.add_argument("--examples", type=int, default=NUM_EXAMPLES, help="a multiple of the batch sizes")
    parser.add_argument("--rows", type=int, default=LARGE_ROWS, help="of the large tables")
    parser.add_argument("--large-features", type=int, default=PaperModel.num_large, help="each takes 0.6 GB")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    arguments = parser.parse_args()
    paper = PaperModel(arguments.rows, arguments.large_features)
    rounds = measure(paper, arguments.examples, arguments.batch_sizes, arguments.rounds)
    console = Console()
    widths = layer_widths(WideDeep(paper.spec, MODEL, dict.fromkeys(paper.vocabulary_sizes, 1)))
    bound = statistics.median(r.bound.wall for measured in rounds.values() for r in measured)
    flops = flops_per_example(widths)
    console.print(
        f"dense layers {' - '.join(map(str, widths))}: {flops / 1e6:.2f} MFLOP per example; "
        f"float32 matrix products of these shapes: {bound * flops / 1e9:.0f} GFLOP/s"
    )
    console.print(results(rounds))


if __name__ == "__main__":
    main()
