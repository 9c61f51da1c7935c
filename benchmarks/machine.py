"""The machine: its processor's model, and its upper bound, the rate of the dense layers' matrix products alone."""

from __future__ import annotations

import itertools
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

#: Matrix products per layer in training: the output, the weights' gradient and the input's gradient.
_PRODUCTS = 3


def processor_model() -> str:
    """Returns the processor's model, as Linux names it, and the number of its cores."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return f"{found[1] if found else platform.processor()}, {os.cpu_count()} cores"


def flops_per_example(widths: Sequence[int]) -> int:
    """Returns the floating-point operations of one training step's matrix products: 6 × the dense layers' weights.

    The input's gradient counts in the first layer too, since the embeddings need it.

    Args:
      widths: The widths of the network's input, hidden layers and output.
    """
    return 2 * _PRODUCTS * sum(a * b for a, b in itertools.pairwise(widths))


def matmul_rates(
    batch_size: int, widths: Sequence[int], dtype: tf.DType = tf.float32
) -> Callable[[], tuple[float, float]]:
    """Prepares a measurement of the network's matrix products, on all processors.

    Args:
      batch_size: Number of examples.
      widths: As in `flops_per_example`.
      dtype: The dtype of the factors.

    Returns:
      A function that computes them once and returns examples per wall-clock second and per processor second.
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
        return results  # returns all of them, since TensorFlow prunes results that are not used

    def measure() -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        products()[-1].numpy()
        return batch_size / (time.perf_counter() - wall), batch_size / (time.process_time() - processor)

    measure()
    return measure
