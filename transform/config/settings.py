"""The config's sections beside sources, features and gates: ingestion, model, training, tuning, push."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from transform.feature import STRICT

PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]

Parts = Literal["wide", "deep", "wide_and_deep"]

#: The place of a setting that can be tuned.
TunedPlace = Annotated[str, Field(pattern=r"^(model|training)(\.[a-z][a-z0-9_]*)+$")]


@dataclass(frozen=True, config=STRICT)
class Ingestion:
    """How rows become examples.

    Attributes:
      split_by: `request_hash` (a request never straddles), `impression_hash`, `row_hash` (by the row's place in the
        logs: for logs without ids), `time` (the last `eval_seconds` of the span are for evaluation) or `time_fraction`
        (the last `eval_fraction` of the rows by time is). Not used where `impressions.splits` names the splits.
      eval_fraction: With the hashes: the share of requests, impressions or rows that is for evaluation. With
        `time_fraction`: the share of the rows; all rows of the time at which it begins are for evaluation too.
      eval_seconds: With `time`: the length of the evaluation part, in seconds.
      window_spans: Learn vocabularies and train on this many spans: the run's and those before it.
      min_impressions: If a span has fewer rows, as one whose upload is not done, the run stops before training.
      max_rejected_fraction: If more of a source's rows than this are rejected, the run stops before training.
      max_row_bytes: A longer row is rejected. Not used for parquet, where a row has no length in the file: its values
        have the limits `max_field_bytes` and `max_list_values`.
      max_record_lines: How many lines a row of a csv file may take, by line ends in quoted fields. Of a record with
        more, as a stray quote makes it, the first line is rejected and the others are read as rows of their own.
      max_field_bytes: A row with a longer field is rejected.
      max_list_values: A row with a longer list is rejected.
    """

    split_by: Literal["request_hash", "impression_hash", "row_hash", "time", "time_fraction"] = "request_hash"
    eval_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    eval_seconds: PositiveFloat = 4 * 3600.0
    window_spans: Annotated[int, Field(ge=1, le=10_000)] = 1
    min_impressions: PositiveInt = 1
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_row_bytes: Annotated[int, Field(ge=100, le=100_000_000)] = 1_000_000
    max_record_lines: Annotated[int, Field(ge=1, le=10_000)] = 10
    max_field_bytes: Annotated[int, Field(ge=10, le=100_000_000)] = 100_000
    max_list_values: PositiveInt = 10_000

    @property
    def is_split_by_time(self) -> bool:
        """Whether the rows after some time are for evaluation."""
        return self.split_by in ("time", "time_fraction")


@dataclass(frozen=True, config=STRICT)
class Model:
    """The Wide & Deep model (paper, figure 4).

    Attributes:
      parts: Train both parts jointly, or one alone.
      embedding_dim: The width of each embedding.
      embedding_dim_factor: Makes an embedding factor · rows^¼ wide, between 1 and `embedding_dim`, so that small
        vocabularies have narrow ones; None keeps all at `embedding_dim`.
      embedding_l2: Adds to the loss this times the mean over the examples of Σ e² over the embeddings an example uses.
      hidden_units: The widths of the hidden layers, first to last; the paper's are 1024, 512 and 256.
      activation: Of the hidden layers.
      batch_norm: Normalize each hidden layer's units over the batch before the activation.
      list_combiner: How the embeddings of a list become one.
      dropout: The share of each hidden layer's units dropped in training.
      token_dropout: The share of each feature's values that are hidden in training, half of them as unknown and half as
        missing, so that the scores of unknown and missing values are learned.
      count_dropout: The share of examples whose counts are hidden in training, so that the rest of the model learns to
        do without them.
      compute_dtype: With `bfloat16`, the factors of the hidden layers' matrix products are rounded to bfloat16 in
        training, which is quicker on processors with AVX512-BF16 or AMX. Scores are always float32's.
    """

    parts: Parts = "wide_and_deep"
    embedding_dim: Annotated[int, Field(ge=1, le=4096)] = 32
    embedding_dim_factor: PositiveFloat | None = None
    embedding_l2: NonNegativeFloat = 0.0
    # The layers are smaller than the paper's, and have dropout: `benchmarks.defaults` measures it.
    hidden_units: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=20)] = (256, 128, 64)
    activation: Literal["relu", "elu", "selu", "gelu", "swish", "tanh"] = "relu"
    batch_norm: bool = False
    list_combiner: Literal["mean", "sum", "sqrtn"] = "mean"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    token_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.02
    count_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    compute_dtype: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True, config=STRICT)
class Ftrl:
    """FTRL-proximal for the wide part (McMahan et al., 2013): a weight's rate is α / (β + n^-power).

    Attributes:
      learning_rate: α.
      learning_rate_power: How a weight's rate falls with n, the sum of its squared gradients: -0.5, the paper's, by the
        square root; 0 not at all. Below -1 it would fall so fast that weights freeze where they are.
      l1: λ1; sets rarely useful weights to exactly zero: those whose gradients' sum over the steps stays below it. A
        step's gradient is that of the batch's mean loss, so with twice the `batch_size` these sums are half as large.
        Halve λ1 and β then, and divide `initial_accumulator` by four, unless it is left out.
      l2: λ2.
      beta: β; keeps the rates of the first steps low.
      initial_accumulator: The sum of squared gradients before the first step. Left out, it is (1 / `batch_size`)², the
        square of the largest gradient that one example of weight 1 adds to a full batch. The usual 0.1 is that of 410
        examples in batches of 64, and of 104,858 in batches of 1,024: weights of rarer values hardly move.
    """

    learning_rate: PositiveFloat = 0.1
    learning_rate_power: Annotated[float, Field(ge=-1, le=0)] = -0.5
    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0
    beta: NonNegativeFloat = 0.0
    initial_accumulator: NonNegativeFloat | None = None


#: The deep part's optimizers; `trainer.optimizers.DEEP_OPTIMIZERS` makes them.
DeepOptimizerName = Literal["adagrad", "adam"]


@dataclass(frozen=True, config=STRICT)
class DeepOptimizer:
    """The deep part's optimizer.

    Attributes:
      name: `adagrad` (the paper's) or `adam`.
      learning_rate: The step size. Left out, it follows from `name`: 0.05 with `adagrad`, 0.001 with `adam`.
      initial_accumulator: Of AdaGrad.
      schedule: How the step size goes down over the training: not at all, along half a cosine, or by the same factor in
        each step. FTRL has no schedule: its state stands for its weights at one learning rate only.
      warmup_steps: Over so many steps at first, the step size grows evenly from nothing.
      min_lr_ratio: With `cosine` or `exponential`: what is left of the step size in the end.
    """

    name: DeepOptimizerName = "adam"
    learning_rate: PositiveFloat | None = None
    initial_accumulator: NonNegativeFloat = 0.1
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    min_lr_ratio: Annotated[float, Field(gt=0, le=1)] = 0.01


@dataclass(frozen=True, config=STRICT)
class Training:
    """One training.

    Attributes:
      batch_size: Examples per step. Left out, it follows from the number of training examples: the power of two from 64
        to 1,024 with which an epoch has 75 to 150 steps.
      num_epochs: Passes over the training examples, at most. Left out, it follows from their number: 3,000,000
        examples' worth, from 1 to 30.
      patience: Stop after this many epochs in which `monitor` got no better, and keep the best epoch. With 0 all epochs
        are trained and the last is kept. Left out, it is 2. With one epoch it is 0, whatever is written.
      validation_fraction: With `patience`: the share of the newest span's training examples that are held out,
        rounded up to eighths. They are not trained on: `monitor` is measured on them. With 0, and where fewer than 20
        examples of a label could be held out, it is measured on the evaluation examples. Left out, it is 1/8. With
        `count_encodings`, one epoch or `patience: 0` it is 0; a number above 0 goes without `count_encodings` and
        without `patience: 0`.
      monitor: The validation metric by which the best epoch is chosen, with `patience`, and the best trial of `tuning`.
      shuffle_buffer_size: Examples held to shuffle among, anew in each epoch; they are written in a random order
        already.
      negative_sampling_rate: Train on this share of the negatives, drawn anew in each epoch. The scores stay
        calibrated on all of them.
      warm_start: Start from the last pushed model.
      warm_start_hidden_layers: With `warm_start`: take the hidden layers along too, not the tables alone.
      wide_optimizer: FTRL.
      deep_optimizer: AdaGrad or Adam.
      checkpoint_seconds: The time between two checkpoints, from which a killed training goes on. If writing one takes
        long, the next one follows after 20 times as long at the earliest.
      seed: Of the initial weights, the order of the examples and all that is drawn.
    """

    batch_size: PositiveInt | None = None
    num_epochs: PositiveInt | None = None
    patience: Annotated[int, Field(ge=0)] | None = None
    validation_fraction: Annotated[float, Field(ge=0, le=0.5)] | None = None
    monitor: Literal["auc", "logloss"] = "logloss"
    shuffle_buffer_size: PositiveInt = 100_000
    negative_sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    warm_start: bool = True
    warm_start_hidden_layers: bool = True
    wide_optimizer: Ftrl = Field(default_factory=Ftrl)
    deep_optimizer: DeepOptimizer = Field(default_factory=DeepOptimizer)
    checkpoint_seconds: NonNegativeFloat = 60.0  # writing 80 MB of state takes 0.2 s on two cores
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1


@dataclass(frozen=True, config=STRICT)
class Range:
    """The values that the search tries for one setting.

    Attributes:
      min: The lowest, for a number.
      max: The highest.
      scale: `log` tries as many values from 0.001 to 0.01 as from 0.01 to 0.1.
      choices: In place of `min` and `max`: the values themselves.
    """

    min: FiniteFloat | None = None
    max: FiniteFloat | None = None
    scale: Literal["linear", "log"] = "linear"
    choices: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        if self.choices is not None:
            if self.min is not None or self.max is not None or self.scale != "linear":
                raise ValueError("`choices` goes without `min`, `max` and `scale`")
        elif self.min is None or self.max is None:
            raise ValueError("a range has `min` and `max`, or `choices`")
        elif self.min >= self.max:
            raise ValueError(f"`min` must be below `max`. Received: {self.min} and {self.max}")
        elif self.scale == "log" and self.min <= 0:
            raise ValueError(f"`scale: log` needs a `min` above 0. Received: {self.min}")
        return self

    @property
    def bounds(self) -> tuple[Any, ...]:
        """The choices, or the lowest and the highest value."""
        return (self.min, self.max) if self.choices is None else self.choices


@dataclass(frozen=True, config=STRICT)
class Tuning:
    """A search for better settings of `model` and `training` before each training. Without it, there is none.

    Attributes:
      max_trials: How many trainings the search is given; each starts as the one after the search does.
      search: `random`, or `bayesian`: guided by what was found so far, after the first three random trials per range.
      ranges: By the setting's place, such as `training.deep_optimizer.learning_rate`: what to try. The best is what
        `training.monitor` says of the validation examples.
    """

    ranges: Annotated[dict[TunedPlace, Range], Field(min_length=1)]
    max_trials: Annotated[int, Field(ge=1, le=10_000)] = 10
    search: Literal["random", "bayesian"] = "bayesian"


@dataclass(frozen=True, config=STRICT)
class Push:
    """The push of a model that the gates let through.

    Attributes:
      num_kept_versions: How many of the highest versions stay. Older ones are removed after a push, but for pinned
        ones and those that a rollback among the kept ones restored.
      unchanged: Whether a model is pushed whose scores are those of the model that serves, to 0.001 %.
    """

    num_kept_versions: PositiveInt = 5
    unchanged: bool = False
