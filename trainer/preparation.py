"""What a training needs, put together from what TFX's components made: the model, its optimizers and the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from trainer import data
from trainer.checkpoints import CHECKPOINT_ROOT_KEY, checkpoint_folder, remove_stale_folders
from trainer.learned import Learned, read_learned
from trainer.model import WideDeep
from trainer.optimizers import JointOptimizer, start_bias
from trainer.training import TrainingResult, steps_per_epoch, train
from trainer.unseen_rows import fill_unseen_rows
from trainer.warm_start import WarmStartReport, warm_start
from transform.config import Config
from transform.feature_spec import LABEL, WEIGHT


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A training before its first step.

    Attributes:
      config: The deployment.
      learned: What tf.Transform learned.
      model: The model, cold or warm-started.
      optimizers: Its optimizers.
      warm_start_report: What was carried over from the previous model.
      counts: The training examples by label.
      train_files: The training examples.
      eval_data: The batches for validation.
    """

    config: Config
    learned: Learned
    model: WideDeep
    optimizers: JointOptimizer
    warm_start_report: WarmStartReport
    counts: data.LabelCounts
    train_files: tuple[str, ...]
    eval_data: tf.data.Dataset
    _parsing: Mapping[str, Any]

    def train_data(self, epoch: int, skip_batches: int = 0) -> tf.data.Dataset:
        """An epoch's batches, from 1, without so many of the first ones."""
        inputs = self.config.spec.training_inputs
        return data.train_dataset(self.train_files, self._parsing, self.config.training, epoch, skip_batches, inputs)

    def train(self, checkpoint_folder: str | None = None) -> TrainingResult:
        """Trains the model in place (`trainer.training.train`), and then fills unseen rows (`fill_unseen_rows`)."""
        training = self.config.training
        result = train(
            self.model, self.optimizers, self.train_data, self.eval_data, training, self.counts, checkpoint_folder
        )
        examples = data.eval_dataset(self.train_files, self._parsing)
        fill_unseen_rows(self.model, self.optimizers, training, (features for features, _, _ in examples))
        return result


def prepare(
    config: Config,
    tft_output: tft.TFTransformOutput,
    train_files: Sequence[str],
    eval_files: Sequence[str],
    base_model: str | None,
) -> Prepared:
    """Builds the model that the config describes for the data, and starts it from the previous one.

    Args:
      config: The deployment.
      tft_output: What tf.Transform learned.
      train_files: Patterns of the transformed training examples.
      eval_files: Patterns of those for validation.
      base_model: The previous model's SavedModel folder, or None.

    Returns:
      Everything the training needs.

    Raises:
      WarmStartError: If the previous model's warm-start files cannot be read.
    """
    training = config.training
    learned = read_learned(tft_output, config.spec)
    model = WideDeep(config.spec, config.model, learned.vocabulary_sizes, training.seed)
    all_features = tft_output.transformed_feature_spec()
    weight = (WEIGHT,) if WEIGHT in all_features else ()
    parsing = {name: all_features[name] for name in (*model.feature_names, LABEL, *weight)}
    counts = data.count_labels(train_files, parsing)
    optimizers = JointOptimizer(model, training, training.num_epochs * steps_per_epoch(counts, training))
    start_bias(model, optimizers, training, counts.log_odds)
    report = warm_start(model, optimizers, training, learned, base_model)
    eval_data = data.eval_dataset(eval_files, parsing)
    return Prepared(config, learned, model, optimizers, report, counts, tuple(train_files), eval_data, parsing)


def resumable_folder(fn_args: Any) -> str | None:
    """The folder in which a training, or a search, finds what it had done before it was killed.

    Args:
      fn_args: TFX's `FnArgs`; another one, another folder.

    Returns:
      A folder below `custom_config["checkpoint_root"]`, from which those that were given up long ago are removed; None
      where there is no such key.
    """
    root = fn_args.custom_config.get(CHECKPOINT_ROOT_KEY)
    if root is None:
        return None
    remove_stale_folders(root)
    graph, base_model = fn_args.transform_graph_path, fn_args.base_model
    determinants = [fn_args.custom_config, graph, base_model, fn_args.hyperparameters]
    return checkpoint_folder(root, determinants, data.expand_patterns([*fn_args.train_files, *fn_args.eval_files]))
