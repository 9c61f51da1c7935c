"""Texts that TensorFlow hands over as one string and their lengths: a Python object for each would take longer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def unpacked(joined: bytes, lengths: npt.NDArray[np.int32]) -> pa.Array:
    """Returns texts as large_binary `[n]`.

    Args:
      joined: The texts, one behind the other.
      lengths: The number of bytes of each, int32 `[n]`.
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(joined)])
