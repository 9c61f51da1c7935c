"""What the machine can do: the rate of the dense layers' matrix products, with nothing else around them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import tensorflow as tf

#: Matrix products of training per layer: the output, the weights' gradient and the input's gradient.
_PRODUCTS = 3


def flops_per_example(widths: Sequence[int]) -> int:
    """Of one training step's matrix products: 6 × the dense layers' weights; the embeddings need the input's gradient.

    Args:
      widths: Of the network's input, its hidden layers and its output.
    """
    return 2 * _PRODUCTS * sum(a * b for a, b in itertools.pairwise(widths))


def matmul_rates(
    batch_size: int, widths: Sequence[int], dtype: tf.DType = tf.float32
) -> Callable[[], tuple[float, float]]:
    """A measurement of the network's own matrix products, all processors at work.

    Args:
      batch_size: Examples.
      widths: As in `flops_per_example`.
      dtype: Of the factors.

    Returns:
      A function that does them once and returns examples per wall-clock second and per processor second.
    """
    pairs = list(itertools.pairwise(widths))
    inputs = [tf.cast(tf.random.normal([batch_size, a]), dtype) for a, _ in pairs]
    kernels = [tf.cast(tf.random.normal([a, b]), dtype) for a, b in pairs]
    gradients = [tf.cast(tf.random.normal([batch_size, b]), dtype) for _, b in pairs]

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def products() -> list[tf.Tensor]:
        results = []
        for x, w, g in zip(inputs, kernels, gradients, strict=True):
            results += [tf.matmul(x, w), tf.matmul(x, g, transpose_a=True), tf.matmul(g, w, transpose_b=True)]
        return results  # all of them, or TensorFlow would leave out what nobody reads

    def measure() -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        products()[-1].numpy()
        return batch_size / (time.perf_counter() - wall), batch_size / (time.process_time() - processor)

    measure()
    return measure
