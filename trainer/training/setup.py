"""Builds what a training needs from the outputs of TFX's components: the model, its optimizers and the data."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from trainer.counts import CountTables, count_rows
from trainer.optimizers import JointOptimizer, set_bias
from trainer.training import data
from trainer.training.bias import correct_bias
from trainer.training.checkpoints import CHECKPOINT_ROOT_KEY, checkpoint_folder, remove_stale_folders
from trainer.training.evaluation import evaluate, logits_function
from trainer.training.event_files import EventFiles
from trainer.training.loop import TrainingResult, steps_per_epoch, train
from trainer.training.progress import log_stage
from trainer.training.unseen_rows import fill_unseen_rows
from trainer.training_size import MIN_HELD_OUT, sized, sized_value
from trainer.transform_output.state import TransformState, read_transform_state
from trainer.warm_start.report import WarmStartReport
from trainer.warm_start.warm_start import warm_start
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tower import fixed_row
from transform.config.component_settings import TrainingSettings
from transform.config.effective import effective
from transform.example_keys import FOLD, LABEL, LATE_LABEL, PLACEMENT, SHARES_LABEL, SPAN, WEIGHT
from transform.feature_spec import FeatureSpec

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Window:
    """The examples of a window of spans.

    The last span's evaluation examples are evaluated on; all other examples are trained on. A span's evaluation
    examples are therefore trained on as soon as a later span is evaluated.

    Attributes:
      train_files: The files to train on.
      eval_files: The files to evaluate on.
      withheld: The examples of `train_files` that are not trained on because they can share their label with an
        example of `eval_files`; None if the examples have no span.
    """

    train_files: tuple[str, ...]
    eval_files: tuple[str, ...]
    withheld: data.Withheld | None


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """A training before its first step.

    Attributes:
      config: The deployment; its training is `sized`, with what was held out.
      transform_state: What tf.Transform learned.
      model: The model, cold or warm-started.
      optimizers: Its optimizers.
      warm_start_report: What was carried over from the previous model, and what was not.
      label_counts: The training examples by label.
      counts: The tables from which the counts' inputs are read; None without counts.
      window: The examples.
      held_out: The training examples that are validated on, and not trained on; None if the evaluation examples are.
      eval_data: The batches of the evaluation examples.
      validation_data: The batches for validation: those of the held-out examples, or else `eval_data`.
      parsing: How the transformed features that training reads are parsed, by transformed name.
    """

    config: TrainingSettings
    transform_state: TransformState
    model: WideDeep
    optimizers: JointOptimizer
    warm_start_report: WarmStartReport
    label_counts: data.LabelCounts
    counts: CountTables | None
    window: Window
    held_out: data.HeldOut | None
    eval_data: tf.data.Dataset
    validation_data: tf.data.Dataset
    parsing: Mapping[str, Any]

    def train_data(self, epoch: int, skip_batches: int = 0) -> tf.data.Dataset:
        """The batches of an epoch (numbered from 1), without the first `skip_batches`."""
        training, files = self.config.training, self.window.train_files
        placed = self.config.spec.at_serving
        more = (self.counts, self._withheld, self.held_out, None if placed is None else placed.largest_weight)
        return data.train_dataset(files, self.parsing, training, epoch, skip_batches, *more)

    @property
    def _withheld(self) -> data.Withheld | None:
        """What is withheld; None if no example is, so that the check per example is skipped."""
        return self.window.withheld if self.label_counts.withheld else None

    def train(self, checkpoint_folder: str | None = None, events: EventFiles | None = None) -> TrainingResult:
        """Trains the model in place (`training.loop.train`), fills unseen rows, and corrects the bias.

        The bias is corrected on the held-out examples, too: of those, training has made no score higher or lower.
        """
        training, label_counts = self.config.training, self.label_counts
        data_of = (self.train_data, self.validation_data)
        result = train(self.model, self.optimizers, *data_of, training, label_counts, checkpoint_folder, events)
        log_stage("initializing the rows that no training example contains")
        examples = self.training_examples(with_held_out=False)
        fill_unseen_rows(self.model, self.optimizers, training, (features for features, _, _ in examples))
        log_stage("correcting the bias")
        added = correct_bias(self.model, self.optimizers, training, self.training_examples(with_held_out=True))
        _logger.info("the bias is corrected by %+.4f, by all training examples and those held out", added)
        validation = evaluate(logits_function(self.model), self.validation_data)
        return dataclasses.replace(result, validation=validation)

    def training_examples(self, with_held_out: bool) -> tf.data.Dataset:
        """The batches of the training examples, in the files' order and with all negatives; as evaluated."""
        selection = data.without(self._withheld, None if with_held_out else self.held_out)
        return data.eval_dataset(self.window.train_files, self.parsing, counts=self.counts, selection=selection)


def prepare(
    config: TrainingSettings,
    tft_output: tft.TFTransformOutput,
    train_files: Sequence[str],
    eval_files: Sequence[str],
    base_model: str | None,
) -> TrainingSetup:
    """Builds the model that the config describes and warm-starts it from the previous one.

    Args:
      config: The deployment.
      tft_output: What tf.Transform learned.
      train_files: Glob patterns of the transformed training examples.
      eval_files: Glob patterns of the transformed evaluation examples.
      base_model: The previous model's SavedModel folder, or None.

    Raises:
      WarmStartError: If the previous model's warm-start files cannot be read.
      InputError: If nothing is learned of the value that a feature has at serving.
    """
    transform_state = read_transform_state(tft_output, config.spec)
    sizes, fixed = transform_state.vocabulary_sizes, fixed_row(config.spec, transform_state)
    model = WideDeep(config.spec, config.model, sizes, config.training.seed, fixed)
    all_features = tft_output.transformed_feature_spec()
    window = _window(train_files, eval_files, all_features)
    stored = [
        *config.spec.stored_names(model.feature_names),
        LABEL,
        WEIGHT,
        *((PLACEMENT,) if config.spec.at_serving and config.spec.at_serving.largest_weight else ()),
        *((SPAN, FOLD, LATE_LABEL) if config.spec.count_encodings else ()),
    ]
    parsing = _of(all_features, stored)
    counts = _counts(config.spec, window, parsing)
    held_out, label_counts = _held_out(config, window, all_features, parsing)
    training = sized(config.training, label_counts.total, bool(config.spec.count_encodings))
    if held_out is None:
        training = dataclasses.replace(training, validation_fraction=0.0)
    config = dataclasses.replace(config, training=training)
    num_epochs = sized_value(training.num_epochs, "num_epochs")
    optimizers = JointOptimizer(model, training, num_epochs * steps_per_epoch(label_counts, training))
    # From zero, the deep part would learn the mean logit as sums over its hidden units. Dropout's noise increases the
    # mean of the following ReLU: in training, those sums are larger than in the exported model.
    set_bias(model, optimizers, training, label_counts.log_odds)
    report = warm_start(model, optimizers, training, transform_state, base_model)
    eval_data = validation_data = data.eval_dataset(window.eval_files, parsing, counts=counts)
    if held_out is not None and window.withheld is not None:
        selection = _among(held_out, window.withheld)
        validation_data = data.eval_dataset(window.train_files, parsing, selection=selection)
    return TrainingSetup(
        config=config,
        transform_state=transform_state,
        model=model,
        optimizers=optimizers,
        warm_start_report=report,
        label_counts=label_counts,
        counts=counts,
        window=window,
        held_out=held_out,
        eval_data=eval_data,
        validation_data=validation_data,
        parsing=parsing,
    )


def _held_out(
    config: TrainingSettings, window: Window, feature_spec: Mapping[str, Any], parsing: Mapping[str, Any]
) -> tuple[data.HeldOut | None, data.LabelCounts]:
    """Returns which training examples are held out for early stopping, and the counts of the examples.

    None are held out if all epochs are trained, or if there are too few of a label to choose an epoch by.
    """
    training, files = effective(config).training, window.train_files
    if training.validation_fraction and window.withheld is not None:
        names = (SPAN, FOLD, LATE_LABEL)
        held_out = data.HeldOut(training.validation_fraction, window.withheld.span, _of(feature_spec, names))
        counts = data.count_labels(files, parsing, window.withheld, held_out)
        fewest = min(counts.held_out_negatives, counts.held_out_positives)
        if sized(training, counts.total).patience:
            if fewest >= MIN_HELD_OUT:
                return held_out, counts
            _logger.warning(
                "early stopping validates on the evaluation examples: of span %d, only %d examples of a label could be "
                "held out, fewer than %d",
                *(held_out.span, fewest, MIN_HELD_OUT),
            )
    return None, data.count_labels(files, parsing, window.withheld)


def _among(held_out: data.HeldOut, withheld: data.Withheld) -> data.Selection:
    return lambda records: held_out.among(records) & ~withheld.among(records)


def _of(feature_spec: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: feature_spec[name] for name in names if name in feature_spec}


def _window(train_patterns: Sequence[str], eval_patterns: Sequence[str], feature_spec: Mapping[str, Any]) -> Window:
    train_files, eval_files = data.expand_patterns(train_patterns), data.expand_patterns(eval_patterns)
    if SPAN not in feature_spec:
        return Window(tuple(train_files), tuple(eval_files), None)
    by_span = data.files_by_span(eval_files, feature_spec)
    last = max((*by_span, *data.files_by_span(train_files, feature_spec)), default=0)
    earlier = [file for span, files in by_span.items() if span < last for file in files]
    withheld = data.Withheld(last, _of(feature_spec, (SPAN, SHARES_LABEL, LATE_LABEL)))
    return Window(tuple(sorted([*train_files, *earlier])), tuple(by_span.get(last, ())), withheld)


def _counts(spec: FeatureSpec, window: Window, parsing: Mapping[str, Any]) -> CountTables | None:
    if not spec.count_encodings:
        return None
    splits = ((window.train_files, True), (window.eval_files, False))
    rows = (data.counted_rows(files, parsing, spec, in_folds=in_folds) for files, in_folds in splits)
    return count_rows(spec, itertools.chain.from_iterable(rows))


def resumable_folder(fn_args: Any) -> str | None:
    """Returns the folder from which a killed training, or a killed search, resumes.

    Args:
      fn_args: TFX's `FnArgs`; different arguments give a different folder.

    Returns:
      A folder below `custom_config["checkpoint_root"]`, from which the folders of trainings abandoned for a week are
      removed; None if that key is absent.
    """
    root = fn_args.custom_config.get(CHECKPOINT_ROOT_KEY)
    if root is None:
        return None
    remove_stale_folders(root)
    graph, base_model = fn_args.transform_graph_path, fn_args.base_model
    determinants = [fn_args.custom_config, graph, base_model, fn_args.hyperparameters]
    return checkpoint_folder(root, determinants, data.expand_patterns([*fn_args.train_files, *fn_args.eval_files]))
