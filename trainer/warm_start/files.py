"""The files from which a later run warm-starts: one .npz per table and one JSON index.

warm_start/
  index.json                    describes the other files and holds the quantiles' boundaries; written last
  table.<part>.<name>.npz       `values`, and `slot.<name>` per optimizer slot, row by row
  vocabulary.<name>.npz         `token_bytes` uint8 and `token_ends` int64: the tokens, back to back
  dense.npz                     `<variable>` and `<variable>.slot.<name>` of the dense layers and the bias
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from pydantic import TypeAdapter

from trainer.transform_output.state import TransformState
from trainer.warm_start.array_files import ArrayFileError, InMemory, Rows, Stored, read, stored_arrays, write_arrays
from trainer.wide_deep.tables import InputBlock, RowKeys
from transform.derived_times import meaning_of
from transform.files.tokens import Tokens

FORMAT = 4
INDEX_FILE = "index.json"
_FOLDER = "warm_start"

_ROW_KEYS = TypeAdapter(RowKeys)
_SETTINGS = frozenset(
    {"activation", "batch_norm", "hidden_units", "wide_optimizer", "deep_optimizer", "deep_iterations"}
)

Arrays = dict[str, Rows]


class WarmStartError(ValueError):
    """Warm-start files cannot be read; the message is one sentence for a user."""


@dataclasses.dataclass(frozen=True)
class SavedVariable:
    """A variable's values and its optimizer slots, by slot name, each of the values' shape.

    Arrays of `read_files` are read when they are used, and raise WarmStartError if the file is damaged or holds values
    that are not finite.
    """

    values: Rows
    slots: Arrays


@dataclasses.dataclass(frozen=True)
class SavedTable:
    """A table and what its rows represent."""

    variable: SavedVariable
    keys: RowKeys


@dataclasses.dataclass(frozen=True)
class SavedState:
    """Everything from a trained model that a later one can start from.

    Attributes:
      tables: By table name.
      dense: The dense layers' variables and the bias, by variable name.
      transform_state: The tables' vocabularies, and the boundaries of their quantiles.
      layout: The deep part's input blocks.
      settings: The settings on which the state depends: `activation`, `batch_norm`, `hidden_units`, `wide_optimizer`
        and `deep_optimizer`; also `deep_iterations`, the deep optimizer's step count; `batch_size`, which files of
        0.2.0 lack; and `tower_iterations`, which those of models without a tower may lack.
      spec: The feature spec as JSON; it may lack keys that a later release added.
    """

    tables: dict[str, SavedTable]
    dense: dict[str, SavedVariable]
    transform_state: TransformState
    layout: tuple[InputBlock, ...]
    settings: dict[str, Any]
    spec: dict[str, Any]

    @property
    def meanings(self) -> dict[str, str]:
        """What the values of each feature stand for if it is derived (`Derive.meaning`); else an empty text."""
        derives = {feature["name"]: feature.get("derive") for feature in self.spec["features"]}
        return {name: meaning_of(d["part"], d["time_zone"]) if d else "" for name, d in derives.items()}


def warm_start_dir(serving_model_dir: str) -> str:
    """The folder for a model's warm-start files: beside its SavedModel (`<model uri>/Format-Serving`)."""
    return os.path.join(os.path.dirname(serving_model_dir.rstrip("/")), _FOLDER)


def write_files(state: SavedState, directory: str) -> None:
    """Writes all files; the index last, so that a folder without an index is recognized as incomplete.

    Args:
      state: The state. Its arrays are read while they are written, so it must not have been read from `directory`.
      directory: The folder.
    """
    tf.io.gfile.makedirs(directory)
    for name, vocabulary in state.transform_state.vocabularies.items():
        tokens = Tokens.of(vocabulary)
        arrays: Arrays = {"token_bytes": InMemory(tokens.token_bytes), "token_ends": InMemory(tokens.ends)}
        write_arrays(os.path.join(directory, _vocabulary_file(name)), arrays)
    for name, table in state.tables.items():
        path = os.path.join(directory, _table_file(name))
        write_arrays(path, _flatten(table.variable, "values", "slot."))
    dense: Arrays = {}
    for name, variable in state.dense.items():
        dense |= _flatten(variable, name, f"{name}.slot.")
    write_arrays(os.path.join(directory, "dense.npz"), dense)
    index = {
        "format": FORMAT,
        "tables": {
            name: {"keys": t.keys.to_dict(), "shape": list(t.variable.values.shape), "slots": sorted(t.variable.slots)}
            for name, t in state.tables.items()
        },
        "dense": {name: {"shape": list(v.values.shape), "slots": sorted(v.slots)} for name, v in state.dense.items()},
        "vocabularies": state.transform_state.vocabulary_sizes,
        "boundaries": {name: values.tolist() for name, values in state.transform_state.boundaries.items()},
        "layout": [_without_default_scale(dataclasses.asdict(block)) for block in state.layout],
        "settings": state.settings,
        "spec": state.spec,
    }
    with tf.io.gfile.GFile(os.path.join(directory, INDEX_FILE), "w") as file:
        file.write(json.dumps(index, indent=1))


def read_files(directory: str) -> SavedState:
    """Reads what `write_files` wrote into a folder, except the variables' values, which are read when they are used.

    Raises:
      WarmStartError: If a file is missing, incomplete or of another format.
    """
    path = os.path.join(directory, INDEX_FILE)
    if not tf.io.gfile.exists(path):
        raise WarmStartError(f"the warm-start files are incomplete: there is no {path}")
    with tf.io.gfile.GFile(path, "r") as file:
        text = file.read()
    try:
        index = json.loads(text)
        if index["format"] != FORMAT:
            raise WarmStartError(f"warm-start files must be of format {FORMAT}. Received: {index['format']} ({path})")
        boundaries = {name: np.array(values, np.float32) for name, values in index["boundaries"].items()}
        vocabularies = {}
        for name, size in index["vocabularies"].items():
            arrays = stored_arrays(os.path.join(directory, _vocabulary_file(name)))
            token_bytes, ends = (read(arrays[key]) for key in ("token_bytes", "token_ends"))
            vocabularies[name] = Tokens(token_bytes, ends)
            if len(vocabularies[name]) != size:
                raise WarmStartError(
                    f"the vocabulary `{name}` must have {size} tokens. "
                    f"Received: {len(vocabularies[name])} ({directory})"
                )
        transform_state = TransformState(vocabularies, boundaries)
        tables = {}
        for name, entry in index["tables"].items():
            file_name = _table_file(name)
            arrays = stored_arrays(os.path.join(directory, file_name))
            variable = _unflatten(arrays, "values", "slot.", entry, file_name)
            tables[name] = SavedTable(variable, _ROW_KEYS.validate_python(entry["keys"]))
            _check_rows(name, tables[name], transform_state)
        arrays = stored_arrays(os.path.join(directory, "dense.npz")) if index["dense"] else {}
        dense = {
            name: _unflatten(arrays, name, f"{name}.slot.", entry, "dense.npz")
            for name, entry in index["dense"].items()
        }
        layout = tuple(InputBlock(**block) for block in index["layout"])
        width = sum(block.width for block in layout)
        if layout and dense["dense_0/kernel"].values.shape[0] != width:
            raise WarmStartError(f"`dense_0/kernel` must have {width} rows, as the layout has ({directory})")
        missing = _SETTINGS - index["settings"].keys()
        if missing:
            raise WarmStartError(f"the warm-start index lacks the settings {sorted(missing)} ({path})")
        state = SavedState(tables, dense, transform_state, layout, dict(index["settings"]), dict(index["spec"]))
        _ = state.meanings  # raises KeyError here, not where the warm start reads it, if the spec is damaged
        return state
    except WarmStartError:
        raise
    except ArrayFileError as error:
        raise _unreadable(error) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise WarmStartError(f"the warm-start index is damaged: {type(error).__name__} {error} ({path})") from error


def _without_default_scale(block: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the default, which earlier releases do not know, so that they read the files of such a model."""
    return {key: value for key, value in block.items() if (key, value) != ("scale", "quantile")}


def _check_rows(name: str, table: SavedTable, transform_state: TransformState) -> None:
    received = table.variable.values.shape[0]
    rows = _num_rows(table.keys, transform_state)
    if rows is not None and received != rows:
        raise WarmStartError(f"`{name}` must have {rows} rows, as its keys have. Received: {received}")


def _num_rows(keys: RowKeys, transform_state: TransformState) -> int | None:
    """The number of rows that a table with these keys must have; None if any number is valid."""
    match keys.kind:
        case "vocabulary":
            return len(transform_state.vocabularies[keys.vocabulary or ""]) + keys.oov_buckets
        case "quantiles":
            return int(transform_state.boundaries[keys.features[0]].size + 2)
        case _:
            return None


def _table_file(name: str) -> str:
    return f"table.{name.replace('/', '.')}.npz"


def _vocabulary_file(name: str) -> str:
    return f"vocabulary.{name}.npz"


def _flatten(variable: SavedVariable, key: str, slot_prefix: str) -> Arrays:
    return {key: variable.values} | {f"{slot_prefix}{name}": values for name, values in variable.slots.items()}


def _unflatten(
    arrays: Mapping[str, Stored], key: str, slot_prefix: str, entry: Mapping[str, Any], file_name: str
) -> SavedVariable:
    stored = [arrays[key], *(arrays[f"{slot_prefix}{name}"] for name in entry["slots"])]
    for rows in stored:
        if list(rows.shape) != entry["shape"] or rows.dtype != np.float32:
            raise WarmStartError(
                f"`{key}` in {file_name} must be float32 of shape {entry['shape']}. "
                f"Received: {rows.dtype} of shape {list(rows.shape)}"
            )
    values, *slots = (_Finite(rows.path, rows.name, rows.shape, rows.dtype, key) for rows in stored)
    return SavedVariable(values, dict(zip(entry["slots"], slots, strict=True)))


@dataclasses.dataclass(frozen=True)
class _Finite(Stored):
    """A variable's values in a file: `blocks` raises WarmStartError if they cannot be read, or are not finite.

    Attributes:
      variable: What the error calls the values.
    """

    variable: str

    def blocks(self) -> Iterator[np.ndarray]:
        try:
            for block in super().blocks():
                if not np.isfinite(block).all():
                    file_name = os.path.basename(self.path)
                    raise WarmStartError(f"`{self.variable}` in {file_name} holds values that are not finite")
                yield block
        except ArrayFileError as error:
            raise _unreadable(error) from error


def _unreadable(error: ArrayFileError) -> WarmStartError:
    return WarmStartError(f"a warm-start file cannot be read: {error}")
