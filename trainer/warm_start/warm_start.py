"""Warm-starts a model: copies embeddings, weights and optimizer state row by row (paper, section 4.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from pydantic import TypeAdapter

from trainer.optimizers import DEEP_OPTIMIZERS, JointOptimizer, ftrl_linear
from trainer.transform_output.state import TransformState
from trainer.warm_start.array_files import OfVariable, read
from trainer.warm_start.batch_units import in_batches_of
from trainer.warm_start.files import SavedState, SavedTable, SavedVariable, read_files, warm_start_dir, write_files
from trainer.warm_start.layer_moving import LAYER_SETTINGS, carried_state, carried_weights, common_layers
from trainer.warm_start.new_moments import NewMoments, spread_accumulators
from trainer.warm_start.report import NO_FILES, TableReport, WarmStartReport
from trainer.warm_start.row_matching import RowMatch, copied_rows, match_blocks, match_quantiles, match_rows, no_rows
from trainer.warm_start.row_moving import move_rows, rows_norm
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tables import Table
from transform.config import settings
from transform.feature_spec import FeatureSpec, transformed_name


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
      training: The settings, `sized`.
      transform_state: The vocabularies and boundaries that its rows represent.
      serving_model_dir: The SavedModel's folder, `<model uri>/Format-Serving`.
    """

    def saved(variable: tf.Variable) -> SavedVariable:
        return SavedVariable(OfVariable(variable), {n: OfVariable(s) for n, s in optimizers.slots(variable).items()})

    used = {t.keys.vocabulary for t in model.tables}
    state = SavedState(
        tables={t.name: SavedTable(saved(model.table_weights[t.name]), t.keys) for t in model.tables},
        dense={name: saved(variable) for name, variable in model.dense_variables.items()},
        transform_state=TransformState(
            {name: tokens for name, tokens in transform_state.vocabularies.items() if name in used},
            transform_state.boundaries,
        ),
        layout=tuple(model.layout),
        settings=_state_settings(model, training)
        | {"deep_iterations": int(optimizers.deep.iterations.numpy()) if optimizers.deep else 0}
        | ({"tower_iterations": int(optimizers.tower.iterations.numpy())} if optimizers.tower else {}),
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
    state, scaled to the new batch size (`batch_units`), so that the first step moves it no more than another step of
    the previous training would. A table's rows that do not match keep their cold start; what is new in the hidden
    layers leaves the scores as they are (`layer_moving`). (Starting new rows from the old rows' mean, from their
    distribution or from their former out-of-vocabulary bucket did not improve the simulated store's next day.)

    Args:
      model: The model, as initialized.
      optimizers: Its optimizers.
      training: The settings, `sized`.
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
        **{name: getattr(model.settings, name) for name in LAYER_SETTINGS},
        "hidden_units": list(model.settings.hidden_units),
        "batch_size": training.batch_size,
        "wide_optimizer": dataclasses.asdict(training.wide_optimizer),
        "deep_optimizer": dataclasses.asdict(training.deep_optimizer),
    }


class _Carrier:
    """Carries a saved state over into a model; collects what is not carried over."""

    def __init__(
        self, model: WideDeep, optimizers: JointOptimizer, training: settings.Training, saved: SavedState
    ) -> None:
        self._model, self._optimizers, self._training = model, optimizers, training
        self._saved, scaled = in_batches_of(saved, training)
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
        self._zero_columns: dict[str, range] = {}  # by table: the columns that are 0 in the carried rows
        self._kind = DEEP_OPTIMIZERS[training.deep_optimizer.name]
        self._new_moments = NewMoments(self._kind)
        self._not_transferred = list(scaled)
        self._rebuilds_z = self._ftrl_changed or bool(scaled)

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
        for table in self._model.tables:
            reports[table.name] = self._carry_table(table, transform_state, old_quantiles)
        for name in sorted(self._saved.tables.keys() - reports.keys()):
            self._not_transferred.append(f"{name}: no longer in the model")
        dense = (*self._carry_dense(), *self._carry_tower())
        self._carry_step_count()
        self._start_new_tables({name for name, report in reports.items() if not report.kept})
        return WarmStartReport(base_model, reports, dense, tuple(dict.fromkeys(self._not_transferred)))

    def _start_new_tables(self, new: set[str]) -> None:
        slots = {name: self._optimizers.slots(variable) for name, variable in self._model.table_weights.items()}
        for table in self._model.embedding_tables:
            if table.name in new:
                self._new_moments.in_new_table(slots[table.name])
        wide = [table.name for table in self._model.wide_tables]
        spread_accumulators(
            [slots[name]["accumulator"] for name in wide if name in new],
            [slots[name]["accumulator"] for name in wide if name in self._with_slots],
        )

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
        if match.num_transferred and old.variable.values.shape[1:] < tuple(variable.shape[1:]):
            self._zero_columns[table.name] = range(old.variable.values.shape[1], table.width)
        carried = np.append(match.new_rows, match.mean_for)
        if table not in self._model.wide_tables and table.name in self._with_slots:
            moments = self._new_moments if table in self._model.embedding_tables else NewMoments(self._kind)
            moments.in_table(table, self._optimizers.slots(variable), carried)
        norm = rows_norm(variable, carried)
        kept, dropped = match.num_transferred, old_rows - match.used_rows.size
        return TableReport(kept, table.rows - kept, dropped, norm)

    def _carry_dense(self) -> tuple[str, ...]:
        """Carries over the bias, and the hidden layers up to the first that is not in both models."""
        transferred, row = [], np.arange(1)
        if "bias" in self._saved.dense:
            self._carry_rows("bias", self._model.bias, self._saved.dense["bias"], copied_rows(row, row))
            transferred.append("bias")
        layers = self._model.hidden_layers
        if layers is None:
            return tuple(transferred)
        if self._training.warm_start_hidden_layers:
            num_layers, against = common_layers(self._saved.settings, self._model.settings)
        else:
            num_layers, against = 0, ("the dense layers: `training.warm_start_hidden_layers` is false",)
        self._not_transferred += against
        for name, variable in layers.named_variables.items():
            if int(name.split("/")[0].rsplit("_")[1]) >= num_layers:
                continue
            old = self._saved.dense.get(name)
            if old is None:
                self._not_transferred.append(f"{name}: not in the previous model")
                continue
            self._carry_layer_variable(name, variable, old)
            transferred.append(name)
        return tuple(transferred)

    def _carry_layer_variable(self, name: str, variable: tf.Variable, old: SavedVariable) -> None:
        if name == "dense_0/kernel":
            match = match_blocks(self._saved.layout, tuple(self._model.layout), self._derived_anew)
            if match.why:
                self._not_transferred.append(f"{name}: {match.why}")
            silent = np.setdiff1d(np.arange(variable.shape[0]), [*match.new_rows, *self._inputs_that_start_at_zero()])
        else:
            rows = np.arange(min(old.values.shape[0], variable.shape[0]))
            match = copied_rows(rows, rows)
            silent = np.arange(rows.size, variable.shape[0] if variable.shape.rank > 1 else rows.size)
        variable.assign(carried_weights(variable.numpy(), read(old.values), match, silent))
        for slot_name, slot in self._slots_to_carry(name, variable, old, match).items():
            slot.assign(carried_state(slot.numpy(), read(old.slots[slot_name]), match))

    def _carry_tower(self) -> Iterator[str]:
        """Carries over the tower's variables beside its table, if they are in both models, and its step count.

        The table and these belong together: a tower of another feature starts anew, and adds nothing at first.
        """
        tower = self._model.tower
        if tower is None or tower.table.name not in self._saved.tables:
            return
        row = np.arange(tower.table.width)
        for name, variable in tower.named_variables.items():
            self._carry_rows(name, variable, self._saved.dense[name], copied_rows(row, row))
            yield name
        if self._with_slots >= {tower.table.name, *tower.named_variables} and self._optimizers.tower is not None:
            self._optimizers.tower.iterations.assign(self._saved.settings["tower_iterations"])

    def _inputs_that_start_at_zero(self) -> list[int]:
        """The first layer's inputs from an embedding's new columns: with weights of 0 too, neither would learn."""
        inputs, start = [], 0
        for block in self._model.layout:
            columns = self._zero_columns.get(f"embedding/{block.vocabulary}", range(0))
            inputs += [start + column for column in columns]
            start += block.width
        return inputs

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

    def _slots_to_carry(
        self, name: str, variable: tf.Variable, old: SavedVariable, match: RowMatch
    ) -> dict[str, tf.Variable]:
        """The slots of a variable if the previous optimizer had the same ones; else none, and says so."""
        slots = self._optimizers.slots(variable)
        if slots.keys() != old.slots.keys():
            self._not_transferred.append(f"{name}'s optimizer state: the optimizer changed")
            return {}
        if match.num_transferred:
            self._with_slots.add(name)
        return slots

    def _carry_rows(self, name: str, variable: tf.Variable, old: SavedVariable, match: RowMatch) -> None:
        move_rows(variable, old.values, match)
        slots = self._slots_to_carry(name, variable, old, match)
        for slot_name, slot in slots.items():
            move_rows(slot, old.slots[slot_name], match, new_columns="mean")
        is_ftrl = "linear" in slots
        if is_ftrl and (self._rebuilds_z or match.mean_for.size):
            ftrl = self._training.wide_optimizer
            if name == "bias":
                ftrl = dataclasses.replace(ftrl, l1=0.0, l2=0.0)
            weights, accumulator, linear = (v.numpy() for v in (variable, slots["accumulator"], slots["linear"]))
            rebuilt = ftrl_linear(weights, accumulator, ftrl, linear)
            rows = ... if self._rebuilds_z else match.mean_for
            linear = np.array(linear)
            linear[rows] = rebuilt[rows]
            slots["linear"].assign(linear)
