"""The search for better settings: what it proposes, what it finds, and how it handles failures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keras_tuner.errors import FatalError

from tests.trainer.small_deployment import make_config
from trainer.training.loop import TrainingError, TrainingResult
from trainer.training.position import Epoch, Metrics
from trainer.training_size import sized_value
from trainer.tuner_fn import Search
from transform.config.component_configs import for_tuner
from transform.config.component_settings import TrainingSettings, TunerSettings
from transform.config.tuning import decoded

RATE = "training.deep_optimizer.learning_rate"
RANGES: dict[str, Any] = {
    RATE: {"min": 0.001, "max": 0.1, "scale": "log"},
    "training.num_epochs": {"min": 1, "max": 3},
    "model.hidden_units": {"choices": [[8, 4], [16]]},
}


def config_of(ranges: dict[str, Any], training: dict[str, Any] | None = None, **tuning: Any) -> TunerSettings:
    return for_tuner(make_config(tuning={"ranges": ranges, "max_trials": 6, **tuning}, training=training or {}))


def result_of(auc: float | None = 0.7, logloss: float | None = 0.5) -> TrainingResult:
    epoch = Epoch(epoch=1, num_examples=1, loss=0.5, validation=Metrics(10, auc, logloss))
    return TrainingResult(1, 1, (epoch,), 1, 0.0, 0.0, (), epoch.validation)


def rate_of(config: TrainingSettings) -> float:
    return sized_value(config.training.deep_optimizer.learning_rate, "deep_optimizer.learning_rate")


class Trainings:
    """Replaces a training: records the config and returns a quality computed from it."""

    def __init__(self, quality: Callable[[TrainingSettings], TrainingResult]) -> None:
        self.configs: list[TrainingSettings] = []
        self._quality = quality

    def __call__(self, config: TrainingSettings, folder: str) -> TrainingResult:
        self.configs.append(config)
        return self._quality(config)

    @property
    def rates(self) -> list[float]:
        return [rate_of(config) for config in self.configs]


def search(config: TunerSettings, trainings: Trainings, folder: Path) -> dict[str, Any]:
    """The best values, after the round trip through JSON that leads them to the Trainer."""
    tuner = Search(config, trainings, str(folder))
    tuner.search()
    tuner.results_summary()  # as TFX does
    found: dict[str, Any] = json.loads(json.dumps(tuner.get_best_hyperparameters()[0].get_config()))
    return decoded(found["values"])


def near_a_hundredth(config: TrainingSettings) -> TrainingResult:
    """A quality that is best at a learning rate of 0.01."""
    distance = abs(math.log10(rate_of(config)) + 2)
    return result_of(auc=1 - distance / 4, logloss=distance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "bayesian"])
@pytest.mark.parametrize("monitor", ["auc", "logloss"])
def test_the_best_trial_s_values_are_found(kind: str, monitor: str, tmp_path: Path) -> None:
    config = config_of(RANGES, {"monitor": monitor}, search=kind, max_trials=11)  # 9 are random in any case
    trainings = Trainings(near_a_hundredth)
    found = search(config, trainings, tmp_path / "search")
    assert len(trainings.configs) == 11
    for tried in trainings.configs:
        assert 0.001 <= rate_of(tried) <= 0.1
        assert tried.training.num_epochs in (1, 2, 3)
        assert tried.model.hidden_units in ((8, 4), (16,))
        assert (tried.training.monitor, tried.model.embedding_dim) == (monitor, config.model.embedding_dim)
    best = min(trainings.configs, key=lambda c: abs(math.log10(rate_of(c)) + 2))
    assert found == {
        RATE: best.training.deep_optimizer.learning_rate,
        "training.num_epochs": best.training.num_epochs,
        "model.hidden_units": list(best.model.hidden_units),
    }
    assert not (tmp_path / "search").exists()


def test_the_values_tried_are_the_seed_s(tmp_path: Path) -> None:
    def rates(seed: int) -> list[float]:
        trainings = Trainings(near_a_hundredth)
        search(config_of(RANGES, {"seed": seed}), trainings, tmp_path / "search")
        return trainings.rates

    assert rates(0) == rates(0)
    assert rates(0) != rates(1)


def test_a_choice_may_be_anything_that_yaml_can_say(tmp_path: Path) -> None:
    ranges = {"training.patience": {"choices": [None, 2]}, "model.batch_norm": {"choices": [True]}}
    trainings = Trainings(lambda config: result_of(logloss=0.6 if config.training.patience is None else 0.5))
    assert search(config_of(ranges), trainings, tmp_path) == {"training.patience": 2, "model.batch_norm": True}
    assert sorted(str(config.training.patience) for config in trainings.configs) == ["2", "None"]  # no value twice


def test_values_that_no_config_has_together_are_a_failed_trial(tmp_path: Path) -> None:
    # Each value is allowed with the config's own; a validation fraction with patience 0 is not.
    ranges = {
        "training.patience": {"choices": [0, 2]},
        "training.validation_fraction": {"choices": [0.0, 0.125]},
    }
    trainings = Trainings(lambda config: result_of(logloss=0.5 if config.training.validation_fraction else 0.6))
    own = {"num_epochs": 10, "patience": 2}
    assert search(config_of(ranges, own, max_trials=20), trainings, tmp_path) == {
        "training.patience": 2, "training.validation_fraction": 0.125,
    }  # fmt: skip
    tried = [(config.training.patience, config.training.validation_fraction) for config in trainings.configs]
    assert sorted(tried, key=str) == [(0, 0.0), (2, 0.0), (2, 0.125)]


def test_a_trial_that_diverges_is_passed_over(tmp_path: Path) -> None:
    def diverging_above(config: TrainingSettings) -> TrainingResult:
        if rate_of(config) > 0.005:
            raise TrainingError("the training diverged")
        return near_a_hundredth(config)

    trainings = Trainings(diverging_above)
    found = search(config_of(RANGES, max_trials=12), trainings, tmp_path)
    assert len(trainings.rates) == 12
    assert max(trainings.rates) > 0.005
    assert found[RATE] == max(rate for rate in trainings.rates if rate <= 0.005)


def test_a_search_of_nothing_but_failures_says_why(tmp_path: Path) -> None:
    def diverge(config: TrainingSettings) -> TrainingResult:
        raise TrainingError("the training diverged: try lower learning rates")

    reported = (
        "none of the search's 6 trials could be trained; the last one: the training diverged: try lower learning rates"
    )
    with pytest.raises(TrainingError) as caught:
        search(config_of(RANGES), Trainings(diverge), tmp_path)
    assert str(caught.value) == reported


@pytest.mark.parametrize(("training", "best"), [({}, 4), ({"monitor": "logloss"}, 4), ({"monitor": "auc"}, 8)])
def test_trials_are_compared_by_the_log_loss_unless_the_config_says_otherwise(
    training: dict[str, Any], best: int, tmp_path: Path
) -> None:
    ranges = {"model.embedding_dim": {"choices": [4, 8]}}
    of_width = {4: result_of(auc=0.7, logloss=0.4), 8: result_of(auc=0.8, logloss=0.5)}
    trainings = Trainings(lambda config: of_width[config.model.embedding_dim])
    assert search(config_of(ranges, training), trainings, tmp_path) == {"model.embedding_dim": best}


@pytest.mark.parametrize(("monitor", "result"), [("auc", result_of(auc=None)), ("logloss", result_of(logloss=None))])
def test_without_a_validation_metric_there_is_nothing_to_compare(
    monitor: str, result: TrainingResult, tmp_path: Path
) -> None:
    message = f"the last one: `tuning` needs evaluation examples that have a validation {monitor}"
    with pytest.raises(TrainingError, match=message):
        search(config_of(RANGES, {"monitor": monitor}), Trainings(lambda config: result), tmp_path)


def test_any_other_failure_ends_the_search(tmp_path: Path) -> None:
    def break_(config: TrainingSettings) -> TrainingResult:
        raise OSError("No space left on device")

    trainings = Trainings(break_)
    with pytest.raises(FatalError, match="No space left on device"):
        search(config_of(RANGES), trainings, tmp_path)
    assert len(trainings.configs) == 1


class Killed(BaseException):
    """Simulates a kill: nothing catches it."""


def test_a_search_that_was_killed_goes_on_with_the_trial_that_was_running(tmp_path: Path) -> None:
    whole = Trainings(near_a_hundredth)
    expected = search(config_of(RANGES), whole, tmp_path / "whole")

    def killed_at_the_fourth(config: TrainingSettings) -> TrainingResult:
        if len(first.configs) == 4:
            raise Killed
        return near_a_hundredth(config)

    first, second = Trainings(killed_at_the_fourth), Trainings(near_a_hundredth)
    with pytest.raises(Killed):
        search(config_of(RANGES), first, tmp_path / "search")
    assert search(config_of(RANGES), second, tmp_path / "search") == expected
    assert first.rates + second.rates[1:] == whole.rates
    assert second.rates[0] == first.rates[3]
