"""The Tuner's `tuner_fn`: a search for better settings, in which each trial trains as the Trainer does."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
import tensorflow_transform as tft
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError
from pydantic import ValidationError
from tfx.components.tuner.component import TunerFnResult

from trainer.training.checkpoints import remove_folder
from trainer.training.loop import TrainingError, TrainingResult
from trainer.training.setup import prepare, resumable_folder
from transform.config.component_settings import TrainingSettings, TunerSettings
from transform.config.tuning import decoded, encoded, number_type, with_values
from transform.config.validation_errors import rule
from transform.preprocessing import CONFIG_KEY

_logger = logging.getLogger(__name__)

_ORACLES = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
}

#: Trains by a config, with checkpoints in a folder.
Train = Callable[[TrainingSettings, str], TrainingResult]


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """Returns the search that the config's `tuning` describes.

    A trial starts from the same model as the training after the search. A killed search resumes with the trial that was
    running, from that trial's last checkpoint.

    Args:
      fn_args: TFX's `FnArgs`, read as in `trainer.run_fn.run_fn`; also `working_dir`, used if no folder of checkpoints
        is given.
    """
    config = TunerSettings.from_json(fn_args.custom_config[CONFIG_KEY])
    tft_output = tft.TFTransformOutput(fn_args.transform_graph_path)

    def train(trial_config: TrainingSettings, folder: str) -> TrainingResult:
        files = (fn_args.train_files, fn_args.eval_files)
        return prepare(trial_config, tft_output, *files, fn_args.base_model).train(folder)

    return TunerFnResult(Search(config, train, resumable_folder(fn_args) or fn_args.working_dir), fit_kwargs={})


class Search(BaseTuner):  # type: ignore[misc]
    """The trials of a config's `tuning`. KerasTuner proposes the values and keeps the records; it sees no model.

    Args:
      config: The settings, with the search's.
      train: Runs a trial's training.
      folder: The folder that holds the search's state while it runs.
    """

    def __init__(self, config: TunerSettings, train: Train, folder: str) -> None:
        self._config = TrainingSettings(config.sources, config.spec, config.model, config.training)
        self._train, self._folder = train, folder
        self._monitor = config.training.monitor
        oracle = _ORACLES[config.tuning.search](
            objective=keras_tuner.Objective(self._monitor, direction="max" if self._monitor == "auc" else "min"),
            max_trials=config.tuning.max_trials,
            hyperparameters=search_space(config),
            seed=config.training.seed + 1,  # KerasTuner treats 0 as no seed
            max_consecutive_failed_trials=config.tuning.max_trials + 1,  # `on_search_end` reports this in one sentence
        )
        super().__init__(oracle, directory=folder, project_name="search")

    def run_trial(self, trial: Trial) -> dict[str, float]:
        """Trains with a trial's values; returns the validation metric of the epoch that the Trainer would export."""
        values = decoded(trial.hyperparameters.values)
        folder = os.path.join(self.get_trial_dir(trial.trial_id), "checkpoints")
        _logger.info("trial %s of the search: %s", trial.trial_id, values)
        try:
            trial_config = _make_config(self._config, values)
            score = getattr(self._train(trial_config, folder).validation, self._monitor)
            if score is None:
                raise TrainingError(f"`tuning` needs evaluation examples that have a validation {self._monitor}")
        except TrainingError as error:  # such as values with which the training diverges
            _logger.warning("trial %s of the search failed: %s", trial.trial_id, error)
            raise FailedTrialError(str(error)) from error
        except Exception as error:  # not caused by the values: KerasTuner would only record it and continue
            raise FatalError(str(error)) from error
        remove_folder(folder)
        return {self._monitor: score}

    def on_search_end(self) -> None:
        """Removes the search's files; raises TrainingError if no trial completed."""
        trials = self.oracle.trials.values()
        if not any(trial.status == TrialStatus.COMPLETED for trial in trials):
            *_, last_line = list(trials)[-1].message.splitlines()  # KerasTuner 1.4.8 keeps a traceback
            _, _, why = last_line.partition(": ")
            raise TrainingError(f"none of the search's {len(trials)} trials could be trained; the last one: {why}")
        remove_folder(self._folder)

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints nothing: KerasTuner's version recreates the folder, and TFX writes the same into an artifact."""


def _make_config(config: TrainingSettings, values: Mapping[str, Any]) -> TrainingSettings:
    """Returns a trial's config; raises TrainingError if the values, each of which is allowed, do not go together."""
    try:
        return with_values(config, values)
    except ValidationError as error:
        raise TrainingError(f"the values do not go together: {rule(error.errors()[0])}") from error


def search_space(config: TunerSettings) -> keras_tuner.HyperParameters:
    """The ranges of a config's `tuning` in KerasTuner's terms."""
    space = keras_tuner.HyperParameters()
    for place, tried in config.tuning.ranges.items():
        if tried.choices is not None:
            space.Choice(place, encoded(tried.choices))
            continue
        low, high = tried.bounds
        if number_type(config, place) is int:
            space.Int(place, int(low), int(high), sampling=tried.scale)
        else:
            space.Float(place, low, high, sampling=tried.scale)
    return space
