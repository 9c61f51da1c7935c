"""Files of an evaluation's columns, of pieces of them, and of states: arrays of numpy without pickled objects.

The slices' values are numbers in all of these but the file of a file's scores, which has the values themselves. A
value's number counts the different values of a slice, in the order of the examples.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components import storage
from components.evaluation.measuring import State, add
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.plan import Plan
from components.evaluation.scoring.columns import Columns, Members
from components.evaluation.scoring.kept_scores import read_scores

_SCORE, _VALUES, _GROUP = "score", "values", "group-"

#: The bytes of a piece's place in the index of its file.
_PLACE_BYTES = 8


@dataclasses.dataclass(frozen=True)
class ColumnsFile:
    """The columns of a file of examples.

    Attributes:
      columns: The file of the columns without scores.
      scores: The file of each model's scores of all examples.
      start: The number of the first row among all examples.
      stop: That of the last row, plus 1.
      numbers: By slice, the number of each value that the file has: int64 `[num_values]`.
    """

    columns: str
    scores: Sequence[str]
    start: int
    stop: int
    numbers: Mapping[str, Array]

    def read(self, plan: Plan) -> Columns:
        """Returns the columns, with the scores of all models; the slices' values are numbers."""
        arrays = _load(_read(self.columns))
        arrays |= {f"{_VALUES}{at}": self.numbers[name] for at, name in enumerate(plan.slices)}
        arrays[_SCORE] = np.stack([read_scores(path, self.start, self.stop) for path in self.scores], axis=1)
        return _columns(arrays, plan)


def write_columns(columns: Columns, path: str, scores: str) -> None:
    """Writes columns: all but the scores to one file, the scores and the slices' values to another."""
    arrays = _arrays(columns)
    storage.write_bytes(path, _dump({name: array for name, array in arrays.items() if name != _SCORE}))
    values = {f"{_VALUES}{at}": _packed(members.values) for at, members in enumerate(columns.slices.values())}
    storage.write_bytes(scores, _dump({_SCORE: columns.score, **values}))


def read_file_scores(path: str, plan: Plan) -> tuple[Array, dict[str, list[Any]]]:
    """Returns the scores of a file of examples, float32 `[num_rows, num_models]`, and by slice the values it has."""
    arrays = _load(_read(path))
    return arrays[_SCORE], {name: _unpacked(arrays[f"{_VALUES}{at}"]) for at, name in enumerate(plan.slices)}


def write_pieces(pieces: Iterator[Columns], path: str) -> None:
    """Writes pieces of columns to a file, and their places to another beside it."""
    places = [0]
    with tf.io.gfile.GFile(path, "wb") as file:
        for piece in pieces:
            values = {f"{_VALUES}{at}": np.array(of.values, int) for at, of in enumerate(piece.slices.values())}
            content = _dump({**_arrays(piece), **values}) if piece.num_rows else b""
            file.write(content)
            places.append(places[-1] + len(content))
    storage.write_bytes(_index(path), np.array(places, "<i8").tobytes())


def read_piece(path: str, number: int, plan: Plan) -> Columns | None:
    """Returns a piece of a file of pieces, from 0; None if it has no rows."""
    first, last = np.frombuffer(_read(_index(path), number * _PLACE_BYTES, 2 * _PLACE_BYTES), "<i8").tolist()
    return _columns(_load(_read(path, first, last - first)), plan) if last > first else None


def write_state(state: State, path: str, plan: Plan) -> None:
    """Writes a state, whose slices' values are numbers."""
    arrays: dict[str, Array] = {}
    for key, sums in state.items():
        place = "|".join(f"{plan.slices.index(name)}.{value}" for name, value in key)
        arrays |= {f"{place}|{name}": array for name, array in sums.items()}
    storage.write_bytes(path, _dump(arrays))


def read_state(path: str, plan: Plan) -> State:
    """Returns what `write_state` wrote."""
    state: State = {}
    for full_name, array in _load(_read(path)).items():
        place, _, name = full_name.partition("|")
        at, _, value = place.partition(".")
        state.setdefault(((plan.slices[int(at)], int(value)),) if place else (), {})[name] = array
    return state


def read_sum(paths: Sequence[str], plan: Plan) -> State:
    """Returns the sum of the states of files, added in their order."""
    total: State = {}
    for path in paths:
        add(total, read_state(path, plan))
    return total


def _arrays(columns: Columns) -> dict[str, Array]:
    """Returns the arrays of columns by name, but not the values of slices."""
    arrays = {"unit": columns.unit, "label": columns.label, "weight": columns.weight, _SCORE: columns.score}
    arrays |= {f"{_GROUP}{name}": hashes for name, hashes in columns.group.items()}
    for at, members in enumerate(columns.slices.values()):
        arrays |= {f"row{at}": members.row, f"value{at}": members.value}
    return arrays


def _columns(arrays: Mapping[str, Array], plan: Plan) -> Columns:
    """Returns columns from their arrays, with the numbers of the slices' values."""
    return Columns(
        unit=arrays["unit"],
        label=arrays["label"],
        weight=arrays["weight"],
        score=arrays[_SCORE],
        group={name.removeprefix(_GROUP): array for name, array in arrays.items() if name.startswith(_GROUP)},
        slices={
            name: Members(tuple(arrays[f"{_VALUES}{at}"].tolist()), arrays[f"row{at}"], arrays[f"value{at}"])
            for at, name in enumerate(plan.slices)
        },
    )


def _packed(values: Sequence[Any]) -> Array:
    """Returns texts or numbers, as an Arrow file, uint8 `[num_bytes]`: numpy would cut zeros off texts."""
    content = pa.BufferOutputStream()
    batch = pa.record_batch({_VALUES: pa.array(values)})
    with pa.ipc.new_file(content, batch.schema) as writer:
        writer.write_batch(batch)
    return np.frombuffer(content.getvalue(), np.uint8)


def _unpacked(packed: Array) -> list[Any]:
    with pa.ipc.open_file(pa.py_buffer(packed)) as reader:
        values: list[Any] = reader.read_all()[_VALUES].to_pylist()
    return values


def _dump(arrays: Mapping[str, Array]) -> bytes:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _load(content: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _read(path: str, start: int = 0, size: int = -1) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        file.seek(start)
        content: bytes = file.read(size)
    return content


def _index(path: str) -> str:
    return f"{path}.index"
