"""Array files: those of NumPy, in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.warm_start import array_files
from trainer.warm_start.array_files import ArrayFileError, InMemory, OfVariable, Rows, read, stored_arrays, write_arrays

ARRAYS = {
    "values": np.arange(21, dtype=np.float32).reshape(7, 3),
    "slot.linear": np.arange(5, dtype=np.float32),
    "bias": np.array(2.5, np.float32),
    "token_ends": np.array([1, 2, 2**40]),
    "token_bytes": np.frombuffer(b"abc", np.uint8),
    "empty": np.zeros((0, 4), np.float32),
}

#: Blocks of a row, of two rows of three values, and of everything.
BLOCKS = pytest.mark.parametrize("block_bytes", [1, 24, 1 << 23])


@BLOCKS
def test_numpy_reads_what_is_written(block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "arrays.npz"
    arrays: dict[str, Rows] = {name: InMemory(array) for name, array in ARRAYS.items()}
    for name in ("values", "slot.linear", "bias"):
        arrays[name] = OfVariable(tf.Variable(ARRAYS[name]))
    write_arrays(str(path), arrays)
    with np.load(path, allow_pickle=False) as found:
        assert found.files == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


@BLOCKS
def test_numpy_s_files_are_read(block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "arrays.npz"
    np.savez(path, **ARRAYS)  # type: ignore[arg-type]
    found = stored_arrays(str(path))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(read(found[name]), array, strict=True)
    rows = max(1, block_bytes // 12)
    assert [len(block) for block in found["values"].blocks()] == [min(rows, 7 - at) for at in range(0, 7, rows)]


def test_a_changed_byte_is_an_error_once_it_is_read(tmp_path: Path) -> None:
    path, values = tmp_path / "arrays.npz", np.arange(10_000, dtype=np.float32)  # more than zipfile reads ahead
    write_arrays(str(path), {"bias": InMemory(ARRAYS["bias"]), "values": InMemory(values)})
    content = bytearray(path.read_bytes())
    content[content.index(values.tobytes()) + values.nbytes // 2] ^= 1
    path.write_bytes(content)
    found = stored_arrays(str(path))
    assert read(found["bias"]) == 2.5
    with pytest.raises(ArrayFileError, match=r"arrays.npz \(BadZipFile\)"):
        read(found["values"])


def test_a_file_that_is_missing_or_of_python_objects_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArrayFileError, match=r"there.npz \(NotFoundError\)"):
        stored_arrays(str(tmp_path / "there.npz"))
    np.savez(tmp_path / "objects.npz", values=np.array([{}], object))
    with pytest.raises(ArrayFileError, match=r"objects.npz \(ValueError\)"):
        stored_arrays(str(tmp_path / "objects.npz"))
