"""The Wide & Deep model (Cheng et al., 2016, section 3): one logit = wide logit + deep logit + bias.

A feature that only the log has, such as the position, adds the output of a tower of its own.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tf_keras

from trainer.wide_deep.hidden_layers import HiddenLayers
from trainer.wide_deep.layout import deep_layout, embedding_tables, wide_tables
from trainer.wide_deep.tables import InputBlock, Table
from trainer.wide_deep.token_dropout import TokenDropout
from trainer.wide_deep.tower import Tower, rows_initializer, tower_dropout, tower_table
from transform.combinations import NUM_COUNT_BUCKETS
from transform.config import settings
from transform.feature import Scale, middle_number, missing_number
from transform.feature_spec import FeatureSpec, transformed_name

#: Features by transformed name, as `transform.preprocessing.preprocessing_fn` outputs them.
Features = Mapping[str, tf.Tensor | tf.SparseTensor]

#: Returns the weights, float32 `[any]`, of a wide table's rows, int64 `[any]`.
WeightsOf = Callable[[Table, tf.Tensor], tf.Tensor]


class WideDeep(tf_keras.Model):  # type: ignore[misc]
    """Wide & Deep: `logit = Σ wide weights + MLP([embeddings, numeric features]) + bias`.

    The wide part is a generalized linear model: one weight, initially 0, per row of each wide feature, cross and count.
    The deep part looks embeddings up, combines each list's into one (`list_combiner`; an empty list gives zeros),
    concatenates them with the numeric features in the spec's order and feeds them to `HiddenLayers`. A numeric feature
    has two columns: its normalized quantile (0.5 if it is missing), or its standardized value (0 if it is missing), and
    whether it is missing. Features that share a vocabulary share one embedding table and one gather. Embeddings are
    initialized from N(0, 1 / width); those of unknown and missing values start at 0, the mean of that distribution.

    Args:
      spec: The features, crosses and counts.
      model: The architecture.
      vocabulary_sizes: The number of tokens, without out-of-vocabulary buckets, by vocabulary name.
      seed: The seed of the initial weights and of dropout.
      fixed_row: The row that `trainer.wide_deep.tower.fixed_row` finds; None without a tower.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        model: settings.Model,
        vocabulary_sizes: Mapping[str, int],
        seed: int = 1,
        fixed_row: int | None = None,
    ) -> None:
        super().__init__(name="wide_deep")
        has_wide, has_deep = model.parts != "deep", model.parts != "wide"
        self.wide_tables = wide_tables(spec, vocabulary_sizes) if has_wide else ()
        self.embedding_tables = embedding_tables(spec, vocabulary_sizes, model) if has_deep else ()
        self.layout = deep_layout(spec, model, self.embedding_tables) if has_deep else ()
        self.spec = spec
        self.settings = model
        self._seed = seed
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros")
        self.table_weights: dict[str, tf.Variable] = {}
        for table in self.wide_tables:
            self.table_weights[table.name] = self.add_weight(name=table.name, shape=(table.rows,), initializer="zeros")
        for table in self.embedding_tables:
            self.table_weights[table.name] = self.add_weight(
                name=table.name, shape=(table.rows, table.width), initializer=self._embedding_initializer(table)
            )
        tables = (*self.wide_tables, *self.embedding_tables)
        self._counts = [name for table in tables if table.keys.kind in ("share", "rows") for name in table.inputs]
        self.hidden_layers: HiddenLayers | None = None
        if has_deep:
            width = sum(block.width for block in self.layout)
            self.hidden_layers = HiddenLayers(width, model, self._seed_of, self._step_seed_of)
        self.tower: Tower | None = None
        if (placed := tower_table(spec, vocabulary_sizes)) is not None:
            assert fixed_row is not None  # both follow from one feature
            self.table_weights[placed.name] = rows = self.add_weight(
                name=placed.name,
                shape=(placed.rows, placed.width),
                initializer=rows_initializer(self._seed_of(placed.name)),
            )
            self.tower = Tower(placed, rows, fixed_row, tower_dropout(spec))
        self._token_dropout = TokenDropout(spec, vocabulary_sizes, self.feature_names, model.token_dropout)
        self.built = True
        #: Training steps so far. The step and the seed determine all random draws of a step.
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")

    def _seed_of(self, name: str) -> int:
        return zlib.crc32(f"{self._seed}/{name}".encode()) % 2**31

    def _step_seed_of(self, name: str) -> tf.Tensor:
        """The seed, int32 `[2]`, of this step's random draws: a resumed training draws the same values."""
        return tf.stack([self._seed_of(name), tf.cast(self.step, tf.int32)])

    def _embedding_initializer(self, table: Table) -> Callable[..., tf.Tensor]:
        drawn = tf_keras.initializers.RandomNormal(stddev=table.width**-0.5, seed=self._seed_of(table.name))
        zero_rows = table.keys.rows_without_token(table.rows)

        # In a graph, TensorFlow reuses an operation's input for its output; run eagerly, three operations would each
        # allocate the table again. The shape is passed as a tensor: TensorFlow would compute operations of constants
        # while it optimizes the graph, and hold the table twice.
        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def initialize(shape: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
            values = drawn(shape, dtype)
            return tf.tensor_scatter_nd_update(
                values, zero_rows[:, None], tf.zeros([len(zero_rows), table.width], dtype)
            )

        return lambda shape, dtype, **_: initialize(tf.constant(tuple(shape)), dtype)

    @property
    def wide_variables(self) -> list[tf.Variable]:
        """The wide part's tables, without the bias."""
        return [self.table_weights[table.name] for table in self.wide_tables]

    @property
    def deep_variables(self) -> list[tf.Variable]:
        """The trained variables of the deep part: the embedding tables and the hidden layers'."""
        tables = [self.table_weights[table.name] for table in self.embedding_tables]
        hidden = self.hidden_layers.named_variables.values() if self.hidden_layers else ()
        return tables + [variable for variable in hidden if variable.trainable]

    @property
    def tower_variables(self) -> list[tf.Variable]:
        """The trained variables of the tower."""
        return self.tower.trained if self.tower else []

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables: of the wide part, of the deep part, and of the tower."""
        return (*self.wide_tables, *self.embedding_tables, *((self.tower.table,) if self.tower else ()))

    @property
    def moving_variables(self) -> list[tf.Variable]:
        """Batch normalization's moving averages, which no optimizer trains."""
        hidden = self.hidden_layers.named_variables.values() if self.hidden_layers else ()
        return [variable for variable in hidden if not variable.trainable]

    @property
    def dense_variables(self) -> dict[str, tf.Variable]:
        """The variables that are not tables, by stable names: `bias`, and those of `HiddenLayers` and `Tower`."""
        parts = [part.named_variables for part in (self.hidden_layers, self.tower) if part is not None]
        return dict(itertools.chain({"bias": self.bias}.items(), *(part.items() for part in parts)))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The transformed names of the features that the model reads."""
        return (*self.served_names, *((self.tower.input,) if self.tower else ()))

    @property
    def served_names(self) -> tuple[str, ...]:
        """The transformed names of the features that the model reads of a request."""
        names = [name for table in (*self.wide_tables, *self.embedding_tables) for name in table.inputs]
        names += [transformed_name(block.feature) for block in self.layout if block.vocabulary is None]
        return tuple(dict.fromkeys(names))

    def wide_logits(
        self, features: Features, weights_of: WeightsOf | None = None, tables: Sequence[Table] | None = None
    ) -> tf.Tensor:
        """Sums the weights of the rows that each example selects.

        Args:
          features: By transformed name: ids, int64 `[batch]`, or an int64 SparseTensor `[batch, any]`.
          weights_of: Looks weights up in place of the model's own tables.
          tables: The wide tables to sum; all of them if None.

        Returns:
          float32 `[batch]`; zeros if the model has no wide part.
        """
        batch_size = read_batch_size(features)
        summands = [tf.zeros([batch_size])]
        for table in self.wide_tables if tables is None else tables:
            (name,) = table.inputs
            ids = features[name]
            weights = (weights_of or self._weights_of)(table, _flat(ids))
            if isinstance(ids, tf.SparseTensor):
                weights = tf.math.unsorted_segment_sum(weights, ids.indices[:, 0], batch_size)
            summands.append(weights)
        return tf.add_n(summands)  # a chain of `+` would sum a gradient at each one

    def _weights_of(self, table: Table, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.table_weights[table.name], rows)

    def deep_input(self, features: Features, blocks: Sequence[InputBlock] | None = None) -> tf.Tensor:
        """The input of the hidden layers, float32 `[batch, width]`.

        Args:
          features: As in `wide_logits`; numeric features float32 `[batch]`.
          blocks: The blocks of `layout` to return, at least one; all of them if None.

        Returns:
          Embeddings and numeric features, in the order of the blocks.
        """
        batch_size = read_batch_size(features)
        scales = {transformed_name(b.feature): b.scale for b in (self.layout if blocks is None else blocks)}
        names = list(scales)
        columns: dict[str, tf.Tensor] = {}
        for table in self.embedding_tables:
            if inputs := [name for name in table.inputs if name in names]:
                columns |= self._embed(table, inputs, features, batch_size)
        numbers = {n: numeric_columns(features[n], scale) for n, scale in scales.items() if n not in columns}
        return tf.concat([columns[n] if n in columns else numbers[n] for n in names], axis=1)

    def deep_logits(self, features: Features) -> tf.Tensor:
        """The deep part's logit, float32 `[batch]`; zeros if there is no deep part. Features as in `deep_input`."""
        if self.hidden_layers is None:
            return tf.zeros([read_batch_size(features)])
        return self.hidden_layers(self.deep_input(features), training=False)

    def _embed(
        self, table: Table, inputs: Sequence[str], features: Features, batch_size: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The embeddings of the features that share a table, each float32 `[batch, width]`, from one gather."""
        flat = [_flat(features[name]) for name in inputs]
        gathered = tf.gather(self.table_weights[table.name], tf.concat(flat, axis=0) if len(flat) > 1 else flat[0])
        parts = tf.split(gathered, [tf.size(ids) for ids in flat]) if len(flat) > 1 else [gathered]
        combine = {
            "mean": tf.math.unsorted_segment_mean,
            "sum": tf.math.unsorted_segment_sum,
            "sqrtn": tf.math.unsorted_segment_sqrt_n,
        }[self.settings.list_combiner]
        embedded = {}
        for name, part in zip(inputs, parts, strict=True):
            ids = features[name]
            embedded[name] = combine(part, ids.indices[:, 0], batch_size) if isinstance(ids, tf.SparseTensor) else part
        return embedded

    def logits(self, features: Features, weights_of: WeightsOf | None = None) -> tf.Tensor:
        """Wide logit + deep logit + offsets, float32 `[batch]`; arguments as in `wide_logits` and `deep_input`."""
        return self.offsets(features) + self.wide_logits(features, weights_of) + self.deep_logits(features)

    def offsets(self, features: Features) -> tf.Tensor:
        """The bias, a float32 scalar; with a tower, the bias and the tower's logits, float32 `[batch]`."""
        return self.bias if self.tower is None else self.bias + self.tower(features[self.tower.input])

    def served_bias(self) -> tf.Tensor:
        """The bias of each request's candidates, a float32 scalar: with the tower's logit of the fixed value."""
        return self.bias if self.tower is None else self.bias + self.tower.fixed_logit()

    def as_served(self, features: Features) -> Features:
        """Replaces, in features of log rows, the value that only the log has by the fixed one."""
        if self.tower is None:
            return features
        return {**features, self.tower.input: self.tower.at_serving(features[self.tower.input])}

    def training_logits(self, features: Features) -> tuple[tf.Tensor, tf.Tensor]:
        """The logits under dropout (units dropped, values and counts hidden), and the penalty to add to the loss.

        Args:
          features: As in `deep_input`; the counts as drawn for training rows.

        Returns:
          float32 `[batch]`, and a float32 scalar: `embedding_l2` · the mean over the batch of Σ e² over the embeddings
          an example uses. (Numeric features are in the sum too; they have no gradient.)
        """
        features = self._token_dropout(features, read_batch_size(features), self._step_seed_of)
        features = self._with_counts_hidden(features)
        logits = self.bias + self.wide_logits(features)
        if self.tower is not None:
            logits += self.tower.in_training(features[self.tower.input], self._step_seed_of)
        if self.hidden_layers is None:
            return logits, tf.zeros([])
        inputs = self.deep_input(features)
        logits += self.hidden_layers(inputs, training=True)
        if self.settings.embedding_l2 == 0:
            return logits, tf.zeros([])
        return logits, self.settings.embedding_l2 * tf.reduce_mean(tf.reduce_sum(tf.square(inputs), axis=1))

    def _with_counts_hidden(self, features: Features) -> Features:
        """Replaces all counts of a random share `count_dropout` of the examples by the id of a hidden count."""
        if not self._counts or self.settings.count_dropout == 0:
            return features
        draws = tf.random.stateless_uniform([read_batch_size(features)], self._step_seed_of("counts"))
        hidden = draws < self.settings.count_dropout
        nothing = tf.constant(NUM_COUNT_BUCKETS, tf.int64)
        return {**features} | {name: tf.where(hidden, nothing, features[name]) for name in self._counts}

    def call(self, inputs: Features) -> tf.Tensor:
        """The logits, float32 `[batch]`."""
        return self.logits(inputs)


def numeric_columns(transformed: tf.Tensor, scale: Scale) -> tf.Tensor:
    """A numeric feature's two columns, float32 `[batch, 2]`, from its transformed value, float32 `[batch]`."""
    is_missing = tf.equal(transformed, missing_number(scale))
    values = tf.where(is_missing, middle_number(scale), transformed)
    return tf.stack([values, tf.cast(is_missing, tf.float32)], axis=1)


def _flat(ids: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    return ids.values if isinstance(ids, tf.SparseTensor) else ids


def read_batch_size(features: Features) -> tf.Tensor:
    """The batch size, an int32 scalar, read from any one feature."""
    feature = next(iter(features.values()))
    if isinstance(feature, tf.SparseTensor):
        return tf.cast(feature.dense_shape[0], tf.int32)
    return tf.shape(feature)[0]
