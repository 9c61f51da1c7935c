"""Joint training's optimizers: FTRL for the wide part, one of `DEEP_OPTIMIZERS` for the deep part.

All of them apply a table's gradient row by row: a step reads and writes only the batch's rows. (Stock Keras optimizers
update whole tables: 14 to 37 times slower at 1,000,000 rows, and FTRL shrinks rows that it should not touch.)

`RowwiseAdam`, `RowwiseAdagrad` and `JointOptimizer` use private hooks of the legacy optimizers of tf-keras 2.21.0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from trainer import schedules
from trainer.training_size import sized_value
from trainer.wide_deep.model import WideDeep
from transform.config import settings

#: A step's α: the same for all steps, or a function that returns a step's.
LearningRate = float | Callable[[], tf.Tensor]


def make_ftrl(ftrl: settings.Ftrl, regularized: bool = True) -> tf_keras.optimizers.legacy.Ftrl:
    """FTRL-proximal as in McMahan et al. (2013), algorithm 1.

    w = 0 if |z| ≤ λ1, else -(z - sign(z)·λ1) / ((β + n^-p)/α + λ2), where p, the learning rate's power, is -0.5 in the
    paper: n^-p = √n. TensorFlow's own `l2` means λ2 / 2, so the setting is halved.

    Args:
      ftrl: α, p, λ1, λ2, β and the initial n.
      regularized: False omits λ1 and λ2, for the bias.
    """
    return tf_keras.optimizers.legacy.Ftrl(
        learning_rate=ftrl.learning_rate,
        learning_rate_power=ftrl.learning_rate_power,
        initial_accumulator_value=sized_value(ftrl.initial_accumulator, "wide_optimizer.initial_accumulator"),
        l1_regularization_strength=ftrl.l1 if regularized else 0.0,
        l2_regularization_strength=ftrl.l2 / 2 if regularized else 0.0,
        beta=ftrl.beta,
    )


def ftrl_linear(weights: np.ndarray, accumulator: np.ndarray, ftrl: settings.Ftrl, linear: np.ndarray) -> np.ndarray:
    """Computes the z for which FTRL's weights equal the given ones: z = -w·((β + n^-p)/α + λ2) - sign(w)·λ1.

    A zero weight needs |z| ≤ λ1, so its z is clipped to that.

    Args:
      weights: w, float32 of any shape.
      accumulator: n, of the same shape.
      ftrl: α, p, λ1, λ2 and β.
      linear: The z of zero weights before it is clipped, of the same shape.

    Returns:
      z, float32 of the same shape.
    """
    w, n = weights.astype(np.float64), accumulator.astype(np.float64)
    rebuilt = -w * ((ftrl.beta + n**-ftrl.learning_rate_power) / ftrl.learning_rate + ftrl.l2) - np.sign(w) * ftrl.l1
    return np.where(w == 0, np.clip(linear, -ftrl.l1, ftrl.l1), rebuilt).astype(np.float32)


class RowwiseAdam(tf_keras.optimizers.legacy.Adam):  # type: ignore[misc]
    """Adam that updates the moments of a table's row only in steps that read the row.

    Keras's Adam decays the moments of all rows, and so moves all rows, in each step.
    """

    def _resource_apply_sparse(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, apply_state: dict[Any, Any] | None = None
    ) -> tf.Operation:
        key = (var.device, var.dtype.base_dtype)
        c = (apply_state or {}).get(key) or self._fallback_apply_state(*key)
        m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
        new_m = c["beta_1_t"] * tf.gather(m, indices) + c["one_minus_beta_1_t"] * grad
        new_v = c["beta_2_t"] * tf.gather(v, indices) + c["one_minus_beta_2_t"] * tf.square(grad)
        step = c["lr"] * new_m / (tf.sqrt(new_v) + c["epsilon"])  # `lr` holds the bias correction
        return tf.group(
            self._resource_scatter_update(m, indices, new_m),
            self._resource_scatter_update(v, indices, new_v),
            self._resource_scatter_add(var, indices, -step),
        )


class RowwiseAdagrad(tf_keras.optimizers.legacy.Adagrad):  # type: ignore[misc]
    """AdaGrad that gathers the batch's rows of a table, updates all of them at once and writes them back.

    TensorFlow's sparse kernel updates row by row and waits for memory at each row: 2 to 3 times slower. The gathered
    rows are in variables, on which TensorFlow's dense kernel does the whole update in one pass.
    """

    def __init__(self, learning_rate: LearningRate, initial_accumulator: float) -> None:
        super().__init__(learning_rate, initial_accumulator_value=initial_accumulator)
        self._gathered: list[_Gathered] = []

    def _create_slots(self, var_list: Sequence[tf.Variable]) -> None:
        super()._create_slots(var_list)
        known = [gathered.variable for gathered in self._gathered]
        self._gathered += [_Gathered(v) for v in var_list if not any(v is other for other in known)]

    def _resource_apply_sparse(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, apply_state: dict[Any, Any] | None = None
    ) -> tf.Operation:
        key = (var.device, var.dtype.base_dtype)
        c = (apply_state or {}).get(key) or self._fallback_apply_state(*key)
        accumulator = self.get_slot(var, "accumulator")
        gathered = next(gathered for gathered in self._gathered if gathered.variable is var)
        ready = [gathered.rows.assign(tf.gather(var, indices)), gathered.sums.assign(tf.gather(accumulator, indices))]
        with tf.control_dependencies(ready):
            update = tf.raw_ops.ResourceApplyAdagradV2(
                var=gathered.rows.handle, accum=gathered.sums.handle, lr=c["lr_t"], epsilon=c["epsilon"], grad=grad
            )
        with tf.control_dependencies([update]):
            return tf.group(
                self._resource_scatter_update(accumulator, indices, gathered.sums.read_value()),
                self._resource_scatter_update(var, indices, gathered.rows.read_value()),
            )


class _Gathered:
    """A batch's rows of a variable and of its accumulator; not part of a training's state."""

    def __init__(self, variable: tf.Variable) -> None:
        shape = variable.shape[1:]
        self.variable = variable
        self.rows, self.sums = (
            tf.Variable(tf.zeros([0, *shape]), trainable=False, shape=[None, *shape]) for _ in range(2)
        )


@dataclasses.dataclass(frozen=True)
class OptimizerKind:
    """A kind of the deep part's optimizers.

    Attributes:
      make: Makes an optimizer of a step's α and the settings.
      counts_steps: Whether its state means something only together with the number of its steps.
    """

    make: Callable[[LearningRate, settings.DeepOptimizer], tf_keras.optimizers.legacy.Optimizer]
    counts_steps: bool = False


#: By `training.deep_optimizer.name`: n += g², w -= α·g / (√n + 1e-7), and Adam with β1 0.9 and β2 0.999.
DEEP_OPTIMIZERS: Mapping[settings.DeepOptimizerName, OptimizerKind] = {
    "adagrad": OptimizerKind(lambda rate, deep: RowwiseAdagrad(rate, deep.initial_accumulator)),
    "adam": OptimizerKind(lambda rate, deep: RowwiseAdam(rate), counts_steps=True),
}


def make_deep_optimizer(
    deep: settings.DeepOptimizer, learning_rate: Callable[[], tf.Tensor] | None = None
) -> tf_keras.optimizers.legacy.Optimizer:
    """Makes the deep part's optimizer, one of `DEEP_OPTIMIZERS`.

    Args:
      deep: The settings.
      learning_rate: Returns a step's α; None uses the settings' learning rate for all steps.
    """
    rate = learning_rate or sized_value(deep.learning_rate, "deep_optimizer.learning_rate")
    return DEEP_OPTIMIZERS[deep.name].make(rate, deep)


class JointOptimizer:
    """Applies one loss's gradients: FTRL for the wide part and the bias, the deep part's own optimizer for the rest.

    A tower has another optimizer of the deep part's kind and settings.

    The bias is not regularized: λ1 would keep it, and with it the mean score, away from the base rate.

    Args:
      model: The model whose variables are trained.
      training: The optimizers' settings.
      num_steps: Steps of the whole training; required if the deep part's learning rate has a schedule.
    """

    def __init__(self, model: WideDeep, training: settings.Training, num_steps: int | None = None) -> None:
        bias = make_ftrl(training.wide_optimizer, regularized=False)
        self._groups: list[tuple[tf_keras.optimizers.legacy.Optimizer, list[tf.Variable]]] = [(bias, [model.bias])]
        if model.wide_variables:
            self._groups.append((make_ftrl(training.wide_optimizer), model.wide_variables))
        self.deep: tf_keras.optimizers.legacy.Optimizer | None = None
        if model.deep_variables:
            self.deep = make_deep_optimizer(
                training.deep_optimizer, schedules.for_training(training.deep_optimizer, model.step, num_steps)
            )
            self._groups.append((self.deep, model.deep_variables))
        self.tower: tf_keras.optimizers.legacy.Optimizer | None = None
        if model.tower_variables:  # of its own, as Adam's count is of the steps that all variables had
            self.tower = make_deep_optimizer(
                training.deep_optimizer, schedules.for_training(training.deep_optimizer, model.step, num_steps)
            )
            self._groups.append((self.tower, model.tower_variables))
        self._moving, self._step = model.moving_variables, model.step
        for optimizer, variables in self._groups:
            optimizer._create_all_weights(variables)  # slots must exist before a warm start fills them

    @property
    def variables(self) -> list[tf.Variable]:
        """The trained variables, in the order in which `apply` takes their gradients."""
        return [variable for _, variables in self._groups for variable in variables]

    def apply(self, gradients: Sequence[tf.Tensor | tf.IndexedSlices | None]) -> None:
        """Updates all variables. `gradients`: the loss's gradients, in the order of `variables`."""
        start = 0
        for optimizer, variables in self._groups:
            own = gradients[start : start + len(variables)]
            optimizer.apply_gradients(zip(own, variables, strict=True))
            start += len(variables)

    def slots(self, variable: tf.Variable) -> dict[str, tf.Variable]:
        """The optimizer slots of a variable, each of the variable's shape, by name.

        FTRL: `accumulator` (n) and `linear` (z). AdaGrad: `accumulator`. Adam: `m` and `v`. Moving averages: none.
        """
        if any(variable is other for other in self._moving):
            return {}
        for optimizer, variables in self._groups:
            if any(variable is other for other in variables):
                return {name: optimizer.get_slot(variable, name) for name in sorted(optimizer.get_slot_names())}
        raise ValueError(f"`variable` must be one of the model's variables. Received: {variable.name}")

    def state(self) -> list[tf.Variable]:
        """Everything that training changes: the variables, their slots, moving averages and step counts."""
        slots = [slot for variable in self.variables for slot in self.slots(variable).values()]
        iterations = [optimizer.iterations for optimizer, _ in self._groups]
        return [*self.variables, *slots, *self._moving, *iterations, self._step]


def set_bias(model: WideDeep, optimizers: JointOptimizer, training: settings.Training, value: float) -> None:
    """Sets the bias to a value, and FTRL's state to hold it there.

    Args:
      model: The model.
      optimizers: Its optimizers.
      training: The optimizers' settings.
      value: The logit.
    """
    slots = optimizers.slots(model.bias)
    ftrl = dataclasses.replace(training.wide_optimizer, l1=0.0, l2=0.0)  # the bias is not regularized
    model.bias.assign(value)
    weight, accumulator, linear = (v.numpy() for v in (model.bias, slots["accumulator"], slots["linear"]))
    slots["linear"].assign(ftrl_linear(weight, accumulator, ftrl, linear))
