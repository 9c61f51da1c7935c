"""Warm-starts a model: copies embeddings, weights and optimizer state row by row (paper, section 4.2)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf
from pydantic import TypeAdapter

from trainer.optimizers import DEEP_OPTIMIZERS, JointOptimizer, ftrl_linear
from trainer.transform_output.state import TransformState
from trainer.warm_start.array_files import OfVariable, block_rows
from trainer.warm_start.files import SavedState, SavedTable, SavedVariable, read_files, warm_start_dir, write_files
from trainer.warm_start.report import NO_FILES, TableReport, WarmStartReport
from trainer.warm_start.row_matching import RowMatch, copied_rows, match_blocks, match_quantiles, match_rows, no_rows
from trainer.warm_start.row_moving import move_rows
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tables import Table
from transform.config import settings
from transform.feature_spec import FeatureSpec, transformed_name

#: Model settings whose change makes a hidden layer's previous weights meaningless.
_LAYER_SETTINGS = ("activation", "batch_norm")


def save_warm_start(
    model: WideDeep,
    optimizers: JointOptimizer,
    spec: FeatureSpec,
    training: settings.Training,
    transform_state: TransformState,
    serving_model_dir: str,
) -> None:
    """Writes, beside the SavedModel, everything that the next model needs to start from this one.

    Args:
      model: The trained model.
      optimizers: Its optimizers.
      spec: Its features.
      training: The optimizers' settings.
      transform_state: The vocabularies and boundaries that its rows represent.
      serving_model_dir: The SavedModel's folder, `<model uri>/Format-Serving`.
    """

    def saved(variable: tf.Variable) -> SavedVariable:
        return SavedVariable(OfVariable(variable), {n: OfVariable(s) for n, s in optimizers.slots(variable).items()})

    tables = (*model.wide_tables, *model.embedding_tables)
    used = {t.keys.vocabulary for t in tables}
    state = SavedState(
        tables={t.name: SavedTable(saved(model.table_weights[t.name]), t.keys) for t in tables},
        dense={name: saved(variable) for name, variable in model.dense_variables.items()},
        transform_state=TransformState(
            {name: tokens for name, tokens in transform_state.vocabularies.items() if name in used},
            transform_state.boundaries,
        ),
        layout=tuple(model.layout),
        settings=_state_settings(model, training)
        | {"deep_iterations": int(optimizers.deep.iterations.numpy()) if optimizers.deep else 0},
        spec=TypeAdapter(FeatureSpec).dump_python(spec, mode="json"),
    )
    write_files(state, warm_start_dir(serving_model_dir))


def warm_start(
    model: WideDeep,
    optimizers: JointOptimizer,
    training: settings.Training,
    transform_state: TransformState,
    base_model: str | None,
) -> WarmStartReport:
    """Overwrites a cold model's weights and optimizer state with the previous model's, wherever they match.

    Rows are matched by what they represent (`row_matching`). Each row is carried over together with its optimizer
    state, so that the first step moves it no more than another step of the previous training would. FTRL's state is not
    scaled to another batch size: a row of k examples has an accumulator of about k / (previous batch size)², so with
    larger batches it moves less than a new row does. What does not match keeps its cold start.
    (Starting new rows from the old rows' mean, from their distribution or from their former out-of-vocabulary bucket
    did not improve the simulated store's next day after any number of steps.)

    Args:
      model: The model, as initialized.
      optimizers: Its optimizers.
      training: The settings.
      transform_state: The vocabularies and boundaries that the new model's rows represent.
      base_model: The previous model's SavedModel folder, or None.

    Raises:
      WarmStartError: If the previous model has warm-start files that cannot be read.
    """
    if not training.warm_start:
        return WarmStartReport(None, not_carried=("`training.warm_start` is false",))
    if not base_model:
        return WarmStartReport(None, not_carried=("there is no previous model",))
    directory = warm_start_dir(base_model)
    if not tf.io.gfile.exists(directory):
        return WarmStartReport(None, not_carried=(f"{NO_FILES}: {directory}",))
    return _Carrier(model, optimizers, training, read_files(directory)).carry(transform_state, base_model)


def _state_settings(model: WideDeep, training: settings.Training) -> dict[str, Any]:
    """The settings that are needed to decide whether the saved state can be carried over."""
    return {
        **{name: getattr(model.settings, name) for name in _LAYER_SETTINGS},
        "hidden_units": list(model.settings.hidden_units),
        "wide_optimizer": dataclasses.asdict(training.wide_optimizer),
        "deep_optimizer": dataclasses.asdict(training.deep_optimizer),
    }


class _Carrier:
    """Carries a saved state over into a model; collects what is not carried over."""

    def __init__(
        self, model: WideDeep, optimizers: JointOptimizer, training: settings.Training, saved: SavedState
    ) -> None:
        self._model, self._optimizers, self._saved, self._training = model, optimizers, saved, training
        rates = ("learning_rate", "learning_rate_power", "l1", "l2", "beta")
        before, now = saved.settings["wide_optimizer"], dataclasses.asdict(training.wide_optimizer)
        self._ftrl_changed = any(before[name] != now[name] for name in rates)
        meanings = saved.meanings
        self._derived_anew = frozenset(
            f.name
            for f in model.spec.features
            if f.name in meanings and meanings[f.name] != ("" if f.derive is None else f.derive.meaning)
        )
        self._with_slots: set[str] = set()
        self._not_transferred: list[str] = []

    def carry(self, transform_state: TransformState, base_model: str) -> WarmStartReport:
        if self._ftrl_changed:
            self._not_transferred.append(
                "FTRL's settings changed: its z was rebuilt so that it holds the carried weights"
            )
        before = self._saved.transform_state.boundaries
        old_quantiles = {
            name: match_quantiles(before[name], now)
            for name, now in transform_state.boundaries.items()
            if name in before
        }
        reports = {}
        for table in (*self._model.wide_tables, *self._model.embedding_tables):
            reports[table.name] = self._carry_table(table, transform_state, old_quantiles)
        for name in sorted(self._saved.tables.keys() - reports.keys()):
            self._not_transferred.append(f"{name}: no longer in the model")
        dense = self._carry_dense()
        self._carry_step_count()
        return WarmStartReport(base_model, reports, dense, tuple(dict.fromkeys(self._not_transferred)))

    def _carry_table(
        self, table: Table, transform_state: TransformState, old_quantiles: dict[str, np.ndarray]
    ) -> TableReport:
        variable, old = self._model.table_weights[table.name], self._saved.tables.get(table.name)
        if old is None:
            self._not_transferred.append(f"{table.name}: not in the previous model")
            return TableReport(0, table.rows, 0, 0.0)
        old_rows = old.variable.values.shape[0]
        if old.variable.values.shape[1:] != tuple(variable.shape[1:]):
            before, now = old.variable.values.shape[1], variable.shape[1]
            self._not_transferred.append(
                f"{table.name}: the embedding's width changed from {before} to {now}; the columns of both are carried"
            )
        derived_anew = sorted(
            name for name in self._derived_anew if transformed_name(name) in table.inputs or name in table.keys.features
        )
        if derived_anew:  # the same token, such as 12, stands for something else
            match = no_rows(f"`derive` changed for {derived_anew}")
        else:
            match = match_rows(
                old.keys,
                table.keys,
                old_rows,
                table.rows,
                self._saved.transform_state.vocabularies.get(old.keys.vocabulary or "", ()),
                transform_state.vocabularies.get(table.keys.vocabulary or "", ()),
                old_quantiles,
            )
        if match.why:
            self._not_transferred.append(f"{table.name}: {match.why}")
        self._carry_rows(table.name, variable, old.variable, match)
        norm = _norm(variable, np.append(match.new_rows, match.mean_for))
        kept, dropped = match.num_transferred, old_rows - match.used_rows.size
        return TableReport(kept, table.rows - kept, dropped, norm)

    def _carry_dense(self) -> tuple[str, ...]:
        """Carries over the bias, and the dense layers in order until one does not fit."""
        transferred = []
        before, now = self._saved.settings, dataclasses.asdict(self._model.settings)
        against = [] if self._training.warm_start_hidden_layers else ["`training.warm_start_hidden_layers` is false"]
        against += [
            f"`{name}` changed from {before[name]} to {now[name]}"
            for name in _LAYER_SETTINGS
            if before[name] != now[name]
        ]
        fits = not against
        if against and self._model.hidden_layers is not None:
            self._not_transferred.append(f"the dense layers: {'; '.join(against)}")
        for name, variable in self._model.dense_variables.items():
            old = self._saved.dense.get(name)
            if old is None:
                self._not_transferred.append(f"{name}: not in the previous model")
                fits = fits and name == "bias"
                continue
            if name == "dense_0/kernel":
                ends = tuple(old.values.shape[1:]), tuple(variable.shape[1:])
                match = match_blocks(self._saved.layout, tuple(self._model.layout), self._derived_anew)
                if fits and match.why:
                    self._not_transferred.append(f"{name}: {match.why}")
            else:
                ends = tuple(old.values.shape), tuple(variable.shape)
                rows = np.arange(1 if name == "bias" else old.values.shape[0])
                match = copied_rows(rows, rows)
            if name != "bias" and fits and ends[0] != ends[1]:
                self._not_transferred.append(
                    f"{name} and the layers above: the widths changed from {ends[0]} to {ends[1]}"
                )
                fits = False
            if fits or name == "bias":
                self._carry_rows(name, variable, old, match)
                transferred.append(name)
        return tuple(transferred)

    def _carry_step_count(self) -> None:
        """Carries over the deep optimizer's step count if all trained variables of the hidden layers have their state.

        Moments of 0 at Adam's carried count would be taken for those of a long training: the first steps of such a
        layer would be several times the learning rate. Carried moments at a count of 0 take smaller steps at first.
        """
        deep, layers = self._optimizers.deep, self._model.hidden_layers
        if deep is None or layers is None:
            return
        if all(name in self._with_slots for name, variable in layers.named_variables.items() if variable.trainable):
            deep.iterations.assign(self._saved.settings["deep_iterations"])
            return
        name = self._training.deep_optimizer.name
        if self._saved.settings["deep_optimizer"]["name"] == name and DEEP_OPTIMIZERS[name].counts_steps:
            self._not_transferred.append(f"{name.capitalize()}'s step count: not all hidden layers were carried")

    def _carry_rows(self, name: str, variable: tf.Variable, old: SavedVariable, match: RowMatch) -> None:
        slots = self._optimizers.slots(variable)
        same_slots = slots.keys() == old.slots.keys()
        if not same_slots:
            self._not_transferred.append(f"{name}'s optimizer state: the optimizer changed")
        move_rows(variable, old.values, match)
        for slot_name, slot in slots.items() if same_slots else ():
            move_rows(slot, old.slots[slot_name], match)
        if same_slots and match.num_transferred:
            self._with_slots.add(name)
        is_ftrl = same_slots and "linear" in slots
        if is_ftrl and (self._ftrl_changed or match.mean_for.size):
            ftrl = self._training.wide_optimizer
            if name == "bias":
                ftrl = dataclasses.replace(ftrl, l1=0.0, l2=0.0)
            weights, accumulator, linear = (v.numpy() for v in (variable, slots["accumulator"], slots["linear"]))
            rebuilt = ftrl_linear(weights, accumulator, ftrl, linear)
            rows = match.mean_for if not self._ftrl_changed else ...
            linear = np.array(linear)
            linear[rows] = rebuilt[rows]
            slots["linear"].assign(linear)


def _norm(variable: tf.Variable, rows: np.ndarray) -> float:
    """The L2 norm of some rows, summed up in float64."""
    total, number = 0.0, block_rows(tuple(variable.shape), np.dtype(np.float64))
    for at in range(0, rows.size, number):
        values = tf.gather(variable, rows[at : at + number]).numpy().astype(np.float64).reshape(-1)
        total += float(values @ values)
    return math.sqrt(total)
