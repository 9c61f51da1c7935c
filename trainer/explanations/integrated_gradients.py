"""Integrated gradients of the deep part (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017).

The attribution of column i of the deep input x, against a baseline x', is

    (x_i - x'_i) · ∫ ∂F(x' + t (x - x')) / ∂x_i dt,  t from 0 to 1,

and the attributions of all columns add up to F(x) - F(x'). A quadrature with n nodes t_k and weights w_k stands for the
integral. What it misses is the gap, F(x) - F(x') - Σ attributions; it is returned as it comes.

Behind ReLUs, F is linear along the path between some kinks, so its derivative is a step function: rules for smooth
functions, such as Gauss's, gain nothing on it, and equal steps put most nodes where the derivative is constant. Here
each node stands for the part of the path that is nearer to it than to other nodes, `NUM_FIRST` nodes are evenly spaced,
and each further one goes where the derivatives of two neighbours and the change of F between them disagree most; there
the kink, if it is a single one, is half way between the new node and the nearer neighbour, which makes that part exact.
On a random network with hidden layers of 64 and 32 units, 64 even nodes miss by more than the larger of 0.01 and 1 % of
F(x) - F(x') in 9 of 100 rows, and these nodes in none (tests/trainer/explanations).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

#: The number of evaluations of the gradient, and how many of them are evenly spaced.
NUM_STEPS = 64
NUM_FIRST = 16

#: A new node keeps this share of its interval's length from both ends.
_MARGIN = 0.1

#: The number of rows whose gradients are in memory at once: with 1,024 units, 4 MB.
_ROWS_AT_ONCE = 16


def mean_gradients(function: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """The gradient of a function, averaged over the straight path from one point to another.

    Args:
      function: Maps float32 `[rows, width]` to float32 `[rows]`, each row by itself.
      start: Where the path of all rows begins, float32 `[1, width]`.
      end: Where each row's path ends, float32 `[rows, width]`.

    Returns:
      float32 `[rows, width]`.
    """
    num_rows = tf.shape(end)[0]

    def more(done: tf.Tensor, means: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        some = end[done : done + _ROWS_AT_ONCE]
        return done + tf.shape(some)[0], means.write(means.size(), _mean_gradients(function, start, some))

    means = tf.TensorArray(
        tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=tf.TensorShape([None, end.shape[1]])
    )
    _, means = tf.while_loop(lambda done, _: done < num_rows, more, (tf.constant(0), means), parallel_iterations=1)
    return tf.cond(num_rows > 0, means.concat, lambda: tf.zeros_like(end))


def _mean_gradients(function: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    direction, width = end - start, end.shape[1]

    def at(t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """F, float32 `[rows]`, its derivative along the path, and its gradient, at one t a row, float32 `[rows]`."""
        point = start + t[:, tf.newaxis] * direction
        with tf.GradientTape() as tape:
            tape.watch(point)
            values = function(point)
        gradients = tape.gradient(values, point)
        return values, tf.reduce_sum(gradients * direction, axis=1), gradients

    def add(nodes: _Nodes, t: tf.Tensor) -> _Nodes:
        new = (t, *at(t))
        return tuple(tf.concat([old, one[:, tf.newaxis]], axis=1) for old, one in zip(nodes, new, strict=True))

    num_rows = tf.shape(end)[0]
    none = tf.zeros([num_rows, 0])
    nodes: _Nodes = (none, none, none, tf.zeros([num_rows, 0, width]))
    shapes = tuple(tf.TensorShape([None, None, *value.shape[2:]]) for value in nodes)

    def first(i: tf.Tensor, nodes: _Nodes) -> tuple[tf.Tensor, _Nodes]:
        return i + 1, add(nodes, tf.fill([num_rows], (tf.cast(i, tf.float32) + 0.5) / NUM_FIRST))

    def further(i: tf.Tensor, nodes: _Nodes) -> tuple[tf.Tensor, _Nodes]:
        return i + 1, add(nodes, _next_node(nodes[0], nodes[1], nodes[2], values_at_ends))

    index = tf.TensorShape([])
    values_at_ends = function(tf.tile(start, [num_rows, 1])), function(end)
    for body, number in ((first, NUM_FIRST), (further, NUM_STEPS)):
        i = tf.constant(0 if body is first else NUM_FIRST)
        _, nodes = tf.while_loop(
            lambda i, _, number=number: i < number, body, (i, nodes), (index, shapes), parallel_iterations=1
        )
    t, _, _, gradients = nodes
    return tf.reduce_sum(_node_weights(t)[:, :, tf.newaxis] * gradients, axis=1)


#: t, F and its derivative, float32 `[rows, nodes]`, and the gradients, float32 `[rows, nodes, width]`.
_Nodes = tuple[tf.Tensor, ...]


def _next_node(
    t: tf.Tensor, values: tf.Tensor, slopes: tf.Tensor, values_at_ends: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """Where the next node of each row goes, float32 `[rows]`."""
    order = tf.argsort(t, axis=1)
    t, values, slopes = (tf.gather(of, order, axis=1, batch_dims=1) for of in (t, values, slopes))
    at_start, at_end = (of[:, tf.newaxis] for of in values_at_ends)
    # The intervals between neighbours, and from the path's ends to the nearest node, whose slope counts for the end.
    left, right = tf.concat([tf.zeros_like(t[:, :1]), t], 1), tf.concat([t, tf.ones_like(t[:, :1])], 1)
    change = tf.concat([values, at_end], 1) - tf.concat([at_start, values], 1)
    before, behind = tf.concat([slopes[:, :1], slopes], 1), tf.concat([slopes, slopes[:, -1:]], 1)
    length = right - left
    worst = tf.argmax(tf.abs(change - length * (before + behind) / 2), axis=1)
    left, length, change, before, behind = (
        tf.gather(of, worst, axis=1, batch_dims=1) for of in (left, length, change, before, behind)
    )
    # With one kink, at the share k of the interval: change = length · (k · before + (1 - k) · behind).
    kink = tf.math.divide_no_nan(change - length * behind, length * (before - behind))
    kink = tf.where(before == behind, 0.25, tf.clip_by_value(kink, 0.0, 1.0))
    place = tf.clip_by_value(tf.where(kink < 0.5, 2 * kink, 2 * kink - 1), _MARGIN, 1 - _MARGIN)
    return left + place * length


def _node_weights(t: tf.Tensor) -> tf.Tensor:
    """The length of the part of [0, 1] that is nearer to each node than to others, float32 `[rows, nodes]`."""
    order = tf.argsort(t, axis=1)
    ordered = tf.gather(t, order, axis=1, batch_dims=1)
    middle = (ordered[:, 1:] + ordered[:, :-1]) / 2
    bounds = tf.concat([tf.zeros_like(t[:, :1]), middle, tf.ones_like(t[:, :1])], axis=1)
    return tf.gather(bounds[:, 1:] - bounds[:, :-1], tf.argsort(order, axis=1), axis=1, batch_dims=1)
