"""Training speed of the paper's architecture: `python -m benchmarks.training_speed`.

Measures examples per second, including input reading, with this trainer in float32 and with `model.compute_dtype:
bfloat16`. They are compared with the machine's upper bound (the rate of the dense layers' matrix products alone) and
with `tf_keras.experimental.WideDeepModel` with stock optimizers on the same examples. In each turn, each of the three
runs in a process of its own, since two would not fit into memory. The matrix products are measured before and after
each of this trainer's passes over the examples. The first pass of a process, which traces the graphs and touches the
tables' memory for the first time, is not counted, nor is the first batch of any pass. Shares are also given in
processor seconds, which other load on the machine does not affect.

All tables are in huge pages where glibc can request them from the kernel (`HUGE_PAGES`).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import tensorflow as tf
from rich.table import Table

from benchmarks.machine import flops_per_example, matmul_rates
from benchmarks.paper_model import MODEL, PaperModel
from benchmarks.stock_model import StockModel
from pipeline.cli.display import console_for
from trainer.optimizers import JointOptimizer
from trainer.training.data import train_dataset
from trainer.training.step import steps_function
from trainer.wide_deep.model import WideDeep
from transform.config import settings

LARGE_ROWS = 1_000_000
BATCH_SIZES = (512, 4096)
NUM_EXAMPLES = 65_536
NUM_FILES = 2
NUM_TURNS = 2
NUM_PASSES = 3
#: Small compared with the examples, so that a pass is mostly training; filling it costs as much per example as reading.
SHUFFLE_BUFFER = 8_192
TRAINING = settings.Training(
    shuffle_buffer_size=SHUFFLE_BUFFER,
    wide_optimizer=settings.Ftrl(learning_rate=0.05, l1=0.001, initial_accumulator=0.1),
    deep_optimizer=settings.DeepOptimizer(name="adam", learning_rate=0.001),
)
#: Environment that makes glibc put large arrays into huge pages: rows all over a table then need fewer page walks.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

Measured = TypeVar("Measured")


@dataclasses.dataclass(frozen=True)
class Speed:
    """Examples per wall-clock second and per processor second."""

    wall: float
    processor: float


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass of this trainer over the examples, and the rate of the bare matrix products around it."""

    ours: Speed
    bound: Speed


@dataclasses.dataclass(frozen=True)
class Turn:
    """Measurements of one process per trainer: passes by batch size."""

    float32: dict[int, list[Pass]]
    bfloat16: dict[int, list[Pass]]
    stock: dict[int, list[Speed]]


@dataclasses.dataclass(frozen=True)
class Job:
    """Input of every process.

    Attributes:
      paper: The features.
      pattern: The glob pattern of the example files.
      num_examples: Their number, a multiple of each batch size.
      batch_sizes: The batch sizes.
      num_passes: The number of passes over the examples that count.
    """

    paper: PaperModel
    pattern: str
    num_examples: int
    batch_sizes: Sequence[int]
    num_passes: int

    def batches(self, batch_size: int, number: int) -> tf.data.Dataset:
        """Returns the batches of a pass, in its order."""
        training = dataclasses.replace(TRAINING, batch_size=batch_size)
        return train_dataset([self.pattern], self.paper.parse_spec, training, epoch=number + 1)

    def measure_passes(self, measure: Callable[[int, int], Measured]) -> dict[int, list[Measured]]:
        """Calls `measure` with each batch size and pass number in turn; returns the results of passes that count."""
        measured: defaultdict[int, list[Measured]] = defaultdict(list)
        for number in range(self.num_passes + 1):
            for batch_size in self.batch_sizes:
                one = measure(batch_size, number)
                if number > 0:
                    measured[batch_size].append(one)
        return dict(measured)


def our_passes(job: Job, compute_dtype: Literal["float32", "bfloat16"]) -> dict[int, list[Pass]]:
    """Measures this trainer's passes, and the matrix products in the same dtype."""
    kind = tf.dtypes.as_dtype(compute_dtype)
    settings_of_model = dataclasses.replace(MODEL, compute_dtype=compute_dtype)
    model = WideDeep(job.paper.spec, settings_of_model, job.paper.vocabulary_sizes)
    do_steps = steps_function(model, JointOptimizer(model, TRAINING), TRAINING.negative_sampling_rate)
    zero = tf.zeros([], tf.float64)

    def measure(batch_size: int, number: int) -> Pass:
        num_batches = job.num_examples // batch_size
        products = matmul_rates(batch_size, layer_widths(model), kind)
        rates = [products() for _ in range(num_batches // 2)]
        iterator = iter(job.batches(batch_size, number))
        do_steps(iterator, tf.constant(1, tf.int64), zero, zero)[-1].numpy()
        wall, processor = time.perf_counter(), time.process_time()
        do_steps(iterator, tf.constant(num_batches, tf.int64), zero, zero)[-1].numpy()
        num_examples = batch_size * (num_batches - 1)
        ours = Speed(num_examples / (time.perf_counter() - wall), num_examples / (time.process_time() - processor))
        rates += [products() for _ in range(num_batches // 2)]
        return Pass(ours, Speed(*(statistics.median(column) for column in zip(*rates, strict=True))))

    return job.measure_passes(measure)


def stock_passes(job: Job) -> dict[int, list[Speed]]:
    """Measures the stock model's passes."""
    stock = StockModel(WideDeep(job.paper.spec, MODEL, job.paper.vocabulary_sizes), TRAINING)

    def measure(batch_size: int, number: int) -> Speed:
        clock = stock.fit(job.batches(batch_size, number))
        num_examples = batch_size * (job.num_examples // batch_size - 1)
        return Speed(num_examples / clock.seconds, num_examples / clock.processor_seconds)

    return job.measure_passes(measure)


def measure(job: Job, num_turns: int) -> list[Turn]:
    """Measures the turns; each uses three new processes, one after the other."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context, max_tasks_per_child=1) as new_process:
        return [
            Turn(
                float32=new_process.submit(our_passes, job, "float32").result(),
                bfloat16=new_process.submit(our_passes, job, "bfloat16").result(),
                stock=new_process.submit(stock_passes, job).result(),
            )
            for _ in range(num_turns)
        ]


def layer_widths(model: WideDeep) -> tuple[int, ...]:
    """Returns the widths of the deep part's input, hidden layers and output."""
    return (sum(block.width for block in model.layout), *model.settings.hidden_units, 1)


def results(turns: Sequence[Turn], batch_sizes: Sequence[int]) -> Table:
    """Returns a table of the medians over all passes, with the lowest and the highest values."""
    table = Table(title="training speed over the passes")
    for column in ("batch", "", "median", "lowest", "highest"):
        table.add_column(column, justify="right" if column else "left")
    for batch_size in batch_sizes:
        stock = [speed for turn in turns for speed in turn.stock[batch_size]]
        quantities = {"stock model, examples/s": (",.0f", [s.wall for s in stock])}
        for kind in ("float32", "bfloat16"):
            passes: list[Pass] = [one for turn in turns for one in getattr(turn, kind)[batch_size]]
            quantities |= {
                f"{kind}, examples/s": (",.0f", [p.ours.wall for p in passes]),
                f"{kind}, matrix products alone": (",.0f", [p.bound.wall for p in passes]),
                f"{kind}, share of that": (".0%", [p.ours.wall / p.bound.wall for p in passes]),
                f"{kind}, share by processor time": (".0%", [p.ours.processor / p.bound.processor for p in passes]),
                f"{kind}, times the stock model": (
                    ".2f",
                    [p.ours.wall / s.wall for p, s in zip(passes, stock, strict=True)],
                ),
            }
        for name, (how, values) in quantities.items():
            numbers = (f"{value:{how}}" for value in (statistics.median(values), min(values), max(values)))
            table.add_row(f"{batch_size:,}", name, *numbers)
        table.add_section()
    return table


def main() -> None:
    """Prints the architecture, the machine's rate and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=NUM_TURNS)
    parser.add_argument("--passes", type=int, default=NUM_PASSES)
    parser.add_argument("--examples", type=int, default=NUM_EXAMPLES, help="a multiple of the batch sizes")
    parser.add_argument("--rows", type=int, default=LARGE_ROWS, help="of each table; a million take 10 GB in all")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    arguments = parser.parse_args()
    paper = PaperModel(arguments.rows)
    os.environ.update(HUGE_PAGES)
    with tempfile.TemporaryDirectory() as folder:
        pattern = paper.write_examples(Path(folder), arguments.examples, NUM_FILES)
        job = Job(paper, pattern, arguments.examples, arguments.batch_sizes, arguments.passes)
        turns = measure(job, arguments.turns)
    console = console_for(sys.stdout)
    widths = layer_widths(WideDeep(paper.spec, MODEL, dict.fromkeys(paper.vocabulary_sizes, 1)))
    bound = statistics.median(p.bound.wall for turn in turns for passes in turn.float32.values() for p in passes)
    flops = flops_per_example(widths)
    console.print(
        f"dense layers {' - '.join(map(str, widths))}: {flops / 1e6:.2f} MFLOP per example; "
        f"float32 matrix products of these shapes: {bound * flops / 1e9:.0f} GFLOP/s"
    )
    console.print(results(turns, arguments.batch_sizes))


if __name__ == "__main__":
    main()
