"""Latency of `rank`, `serving_default` and the bare matrix products: `python -m benchmarks.rank_latency`.

One client sends requests for the same candidates to `wdr serve`, over gRPC on loopback, alternately by each signature;
the client's own time, from features to ranked items, counts. In between, this process computes the matrix products that
every way of ranking needs, with TensorFlow and as many threads as the server has: those of the context's part of the
first hidden layer, and those of each candidate in the layers after it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from benchmarks.served_model import add_arguments, served_version
from pipeline.batch_scoring.raw_rows import model_config
from pipeline.cli.display import console_for
from serving.load_test.recorded import read_catalog, read_recorded
from serving.ranking_client.features import Candidate, encode_candidates
from serving.ranking_client.messages import predict_request, read_ranking
from serving.ranking_client.protos import PredictionServiceStub
from serving.ranking_client.ranked import RankedItem
from serving.ranking_client.settings import ClientSettings
from trainer.wide_deep.model import WideDeep
from transform.config.config import Config
from transform.signature_names import RANK_SIGNATURE, SERVING_SIGNATURE

NUM_ROUNDS = 300
#: Number of rounds, and of measurements of the products, per block; the first block of each does not count.
_BLOCK = 10
_PAUSE_SECONDS = 0.05
PRODUCTS = "matrix products"

#: Maximum difference between the scores of the two signatures.
TOLERANCE = 1e-5


class Asker:
    """A client that ranks by a given signature; the ranking client itself would choose `rank`."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._channel = grpc.insecure_channel(settings.server)
        self._stub = PredictionServiceStub(self._channel)

    def ask(self, signature: str, context: bytes, candidates: Sequence[Candidate]) -> list[RankedItem]:
        """Requests the ranking of all candidates in one call."""
        encoded = encode_candidates(candidates, self._settings)
        request = predict_request(self._settings, signature, context, encoded, logits=False)
        return read_ranking(self._stub.Predict(request, timeout=self._settings.deadline_seconds), signature, encoded)


def context_of(config: Config, serialized: bytes) -> bytes:
    """Removes item features from a recorded tf.Example; returns the context features."""
    example = tf.train.Example.FromString(serialized)
    for feature in config.spec.features:
        if feature.side == "item":
            example.features.feature.pop(feature.name, None)
    return bytes(example.SerializeToString())


def layer_widths(config: Config) -> tuple[int, tuple[int, ...]]:
    """Returns the number of the context's columns in the deep part's input, and the widths of the other layers."""
    names = [feature.name for feature in config.spec.features]
    model = WideDeep(config.spec, config.model, dict.fromkeys([*names, *(c.name for c in config.spec.crosses)], 1))
    context = {feature.name for feature in config.spec.features if feature.side == "context"}
    width = sum(block.width for block in model.layout if block.feature in context)
    return width, (*config.model.hidden_units, 1)


def matrix_products(context_width: int, widths: Sequence[int], num_candidates: int) -> Callable[[], None]:
    """Prepares the matrix products of one request.

    Args:
      context_width: Number of the context's columns.
      widths: The widths of the hidden layers and the output.
      num_candidates: Number of candidates.

    Returns:
      A function that computes the products.
    """
    shapes = [(1, context_width, widths[0]), *((num_candidates, a, b) for a, b in itertools.pairwise(widths))]
    factors = [(tf.random.normal([rows, a]), tf.random.normal([a, b])) for rows, a, b in shapes]

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def products() -> list[tf.Tensor]:
        return [tf.matmul(x, w) for x, w in factors]  # returns all, since TensorFlow prunes results that are not used

    return lambda: products()[-1].numpy()


def measure(
    ways: dict[str, Callable[[], object]], products: Callable[[], object], num_rounds: int
) -> dict[str, list[float]]:
    """Times each way once per round, in alternating order, and the products equally often, after each block of rounds.

    The products do not run after each round, since TensorFlow's threads then keep spinning on the server's processors.

    Args:
      ways: By name, a function that performs a request.
      products: The function that computes the matrix products.
      num_rounds: Number of rounds that count.

    Returns:
      By name, times in milliseconds.
    """
    milliseconds: dict[str, list[float]] = {name: [] for name in (*ways, PRODUCTS)}

    def timed(name: str, way: Callable[[], object], counts: bool) -> None:
        start = time.perf_counter()
        way()
        if counts:
            milliseconds[name].append((time.perf_counter() - start) * 1000)

    for number in range(-_BLOCK, num_rounds):
        for name in ways if number % 2 else reversed(ways):
            timed(name, ways[name], number >= 0)
        if number % _BLOCK == _BLOCK - 1:
            for _ in range(_BLOCK):
                timed(PRODUCTS, products, number >= 0)
            time.sleep(_PAUSE_SECONDS)
    return milliseconds


def compare(console: Console, version: Path, settings: ClientSettings, num_candidates: int, num_rounds: int) -> float:
    """Measures and prints the latencies, their ratios, and the difference of the scores.

    Args:
      console: Where to print.
      version: The version that is served.
      settings: The client's settings.
      num_candidates: Number of candidates; all items of the catalog if it has fewer.
      num_rounds: Number of rounds that count.

    Returns:
      The largest difference between the two signatures' scores of a candidate.
    """
    recorded = read_recorded(str(version))
    catalog = read_catalog(str(version))
    config = model_config(str(version))
    context = context_of(config, next(c for c in recorded.contexts if isinstance(c, bytes)))
    new_items = [(name, features) for name, features in itertools.islice(catalog.items(), num_candidates)]
    known_items = [name for name, _ in new_items]
    asker = Asker(settings)
    by_rank = {i.item_id: i.score for i in asker.ask(RANK_SIGNATURE, context, known_items)}
    by_example = {i.item_id: i.score for i in asker.ask(SERVING_SIGNATURE, context, new_items)}
    apart = max(abs(score - by_example[name]) for name, score in by_rank.items())
    context_width, widths = layer_widths(config)
    milliseconds = measure(
        {
            "rank": lambda: asker.ask(RANK_SIGNATURE, context, known_items),
            "serving_default": lambda: asker.ask(SERVING_SIGNATURE, context, new_items),
        },
        matrix_products(context_width, widths, len(known_items)),
        num_rounds,
    )
    table = Table(title=f"{len(known_items)} candidates, {num_rounds} rounds, milliseconds")
    for column in ("", "median", "p95", "p99"):
        table.add_column(column, justify="right" if column else "left")
    for name, times in milliseconds.items():
        tail = statistics.quantiles(times, n=100)
        table.add_row(name, *(f"{value:.2f}" for value in (statistics.median(times), tail[94], tail[98])))
    console.print(table)
    medians = {name: statistics.median(times) for name, times in milliseconds.items()}
    console.print(f"serving_default / rank: {medians['serving_default'] / medians['rank']:.1f}")
    console.print(f"rank / matrix products: {medians['rank'] / medians[PRODUCTS]:.2f}")
    console.print(f"scores apart by at most {apart:.1e}, {TOLERANCE:.0e} allowed")
    return apart


def main() -> None:
    """Serves a version and compares the signatures; exits with 1 if their scores differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    arguments = parser.parse_args()
    with served_version(arguments) as (version, settings):
        apart = compare(console_for(sys.stdout), version, settings, arguments.candidates, arguments.rounds)
    sys.exit(int(apart > TOLERANCE))


if __name__ == "__main__":
    main()
