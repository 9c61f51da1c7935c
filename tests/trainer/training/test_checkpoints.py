"""An interrupted training resumes as if it had not been interrupted; unreadable checkpoints are skipped."""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.small_deployment import Span
from trainer.optimizers import JointOptimizer
from trainer.run_fn import run_fn
from trainer.training import data
from trainer.training import loop as training
from trainer.training.checkpoints import (
    CHECKPOINT_ROOT_KEY,
    Checkpoints,
    _SavedProgress,
    checkpoint_folder,
    remove_stale_folders,
)
from trainer.training.loop import TrainingResult, steps_per_epoch, train
from trainer.training.position import Epoch, Metrics, TrainingProgress
from trainer.training.report import TrainingReport, read_training_report
from trainer.training.setup import prepare
from trainer.training_size import sized_value
from trainer.wide_deep.model import WideDeep
from transform.example_keys import LABEL

POSITION = TrainingProgress(
    step=7,
    epoch_steps=3,
    epoch_examples=96,
    loss_sum=0.1 + 0.2,
    weight_sum=1 / 3,
    epochs=(Epoch(1, 100, 0.7, Metrics(30, 0.75, 0.5)), Epoch(2, 100, 0.6, Metrics(30, None, None))),
    best_epoch=1,
    seconds=12.5,
    resumed_at=(4,),
)


class KilledError(Exception):
    """Simulates SIGKILL."""


@pytest.fixture(scope="module")
def demanding(first_span: Span) -> Span:
    """A config with every kind of state and draw: dropout, batch norm, schedule, Adam, negatives, early stopping."""
    config = first_span.config
    deep = dataclasses.replace(
        config.training.deep_optimizer, name="adam", learning_rate=0.01, schedule="cosine", warmup_steps=10
    )
    settings = dataclasses.replace(
        config.training,
        batch_size=64,
        num_epochs=3,
        patience=2,
        negative_sampling_rate=0.7,
        deep_optimizer=deep,
        checkpoint_seconds=0.0,
    )
    model = dataclasses.replace(config.model, dropout=0.3, batch_norm=True)
    return dataclasses.replace(first_span, config=dataclasses.replace(config, training=settings, model=model))


def run(span: Span, folder: Path | None) -> tuple[TrainingResult, list[np.ndarray]]:
    """Builds and trains a model as a separate process would; returns the result and the final state."""
    parsing = tft.TFTransformOutput(span.transform_output).transformed_feature_spec()
    model = WideDeep(span.config.spec, span.config.model, {"app": 9, "country": 4, "installed_x_app": 64})
    feature_spec = {name: parsing[name] for name in (*model.feature_names, LABEL)}
    counts = data.count_labels([span.train_files], feature_spec)
    settings = span.config.training
    num_epochs = sized_value(settings.num_epochs, "num_epochs")
    optimizers = JointOptimizer(model, settings, num_epochs * steps_per_epoch(counts, settings))
    result = train(
        model,
        optimizers,
        lambda epoch, skip: data.train_dataset([span.train_files], feature_spec, settings, epoch, skip),
        data.eval_dataset([span.eval_files], feature_spec),
        settings,
        counts,
        None if folder is None else str(folder),
    )
    return result, [variable.numpy() for variable in optimizers.state()]


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int | None) -> None:
    """Makes a training die after that step, before its checkpoint is written."""
    save = Checkpoints.save_if_due

    def save_or_die(self: Checkpoints, position: TrainingProgress) -> None:
        if step is not None and position.step >= step:
            raise KilledError
        save(self, position)

    monkeypatch.setattr(Checkpoints, "save_if_due", save_or_die)


@pytest.mark.slow
def test_a_resumed_training_ends_as_one_that_was_never_interrupted(
    demanding: Span, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, expected_state = run(demanding, None)
    monkeypatch.setattr(training, "_SECONDS_IN_ONE_GO", 0.0)  # one step per call, instead of many
    rng = random.Random(5)
    kills = sorted(rng.sample(range(2, expected.num_steps), 3))
    for step in kills:
        with monkeypatch.context() as patched:
            kill_at(patched, step)
            with pytest.raises(KilledError):
                run(demanding, tmp_path / "own")
    resumed, state = run(demanding, tmp_path / "own")

    assert resumed.resumed_at == tuple(step - 1 for step in kills)
    assert resumed.epochs == expected.epochs
    assert (resumed.num_steps, resumed.exported_epoch) == (expected.num_steps, expected.exported_epoch)
    assert len(expected.epochs) > 1
    for got, want in zip(state, expected_state, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.slow
def test_a_training_that_was_killed_behind_its_last_step_is_not_trained_further(
    demanding: Span, tmp_path: Path
) -> None:
    done, state = run(demanding, tmp_path / "own")
    again, same = run(demanding, tmp_path / "own")
    assert again.epochs == done.epochs
    assert (again.resumed_at, again.exported_epoch) == ((done.num_steps,), done.exported_epoch)
    for got, want in zip(same, state, strict=True):
        np.testing.assert_array_equal(got, want)


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The warnings of `trainer.training.checkpoints`; TensorFlow also warns, about objects that are deleted."""
    return [record for record in caplog.records if record.name == "trainer.training.checkpoints"]


def checkpoints_of(folder: Path, *values: float) -> tuple[Checkpoints, list[tf.Variable]]:
    variables = [tf.Variable([value, value + 1]) for value in values]
    return Checkpoints(str(folder), 0.0, variables), variables


def test_a_checkpoint_holds_the_variables_and_the_position(tmp_path: Path) -> None:
    checkpoints_of(tmp_path / "own", 1.0, 2.0)[0].save_if_due(POSITION)
    checkpoints, variables = checkpoints_of(tmp_path / "own", 0.0, 0.0)
    assert checkpoints.restore() == POSITION
    assert [v.numpy().tolist() for v in variables] == [[1.0, 2.0], [2.0, 3.0]]


def test_without_checkpoints_nothing_is_restored_and_nothing_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, variables = checkpoints_of(tmp_path / "own", 5.0)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.restore() is None
    assert variables[0].numpy().tolist() == [5.0, 6.0]
    assert warnings(caplog) == []
    assert not (tmp_path / "own").exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 0xFF
    path.write_bytes(content)


def test_a_checkpoint_of_another_training_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints_of(tmp_path, 1.0, 2.0)[0].save_if_due(POSITION)
    checkpoints, (variable,) = checkpoints_of(tmp_path, 9.0)
    assert checkpoints.restore() is None
    assert variable.numpy().tolist() == [9.0, 10.0]
    assert "ckpt-7: its variables are not those of this training" in caplog.text


@pytest.mark.parametrize(
    ("text", "why"), [('{"step": "x"}', "validation error for TrainingProgress"), (None, "it has no position")]
)
def test_a_checkpoint_without_a_usable_position_is_passed_over(
    tmp_path: Path,
    text: str | None,
    why: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = [tf.Variable([1.0, 2.0])]
    if text is None:
        whole = tf.train.Checkpoint(variables=variables)
        tf.train.CheckpointManager(whole, str(tmp_path), max_to_keep=2).save(checkpoint_number=7)
    else:
        with monkeypatch.context() as patched:
            patched.setattr(_SavedProgress, "serialize", lambda _: text)
            Checkpoints(str(tmp_path), 0.0, variables).save_if_due(POSITION)
    checkpoints, (variable,) = checkpoints_of(tmp_path, 9.0)
    assert checkpoints.restore() is None
    assert variable.numpy().tolist() == [9.0, 10.0]
    assert why in caplog.text


def test_a_long_checkpoint_is_followed_by_a_long_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoints = Checkpoints(str(tmp_path), 60.0, [tf.Variable([1.0])])
    saved: list[float] = []

    def save(checkpoint_number: int) -> None:
        nonlocal now
        saved.append(now)
        now += 10.0

    monkeypatch.setattr(checkpoints._manager, "save", save)
    for now in (59.0, 60.0, 200.0, 269.0, 270.0, 400.0):  # noqa: B007
        checkpoints.save_if_due(POSITION)
    assert saved == [60.0, 270.0]  # 20 times 10 seconds after the end at 70


@pytest.mark.parametrize("kind", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", [Path.unlink, truncate, flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, kind: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, (variable,) = checkpoints_of(tmp_path, 1.0)
    for step in (1, 2, 3):
        variable.assign([step, step])
        checkpoints.save_if_due(dataclasses.replace(POSITION, step=step))
    damage(tmp_path / f"ckpt-3.{kind}")

    checkpoints, (variable,) = checkpoints_of(tmp_path, 9.0)
    with caplog.at_level(logging.WARNING, "trainer.training.checkpoints"):
        position = checkpoints.restore()
    assert position == dataclasses.replace(POSITION, step=2)
    assert variable.numpy().tolist() == [2.0, 2.0]
    (record,) = warnings(caplog)
    assert record.getMessage().startswith(f"the training resumes from step 2, as a checkpoint in {tmp_path} cannot be")

    damage(tmp_path / f"ckpt-2.{kind}")
    caplog.clear()
    checkpoints, (variable,) = checkpoints_of(tmp_path, 9.0)
    with caplog.at_level(logging.WARNING, "trainer.training.checkpoints"):
        assert checkpoints.restore() is None
    assert variable.numpy().tolist() == [9.0, 10.0]
    (record,) = warnings(caplog)
    assert record.getMessage().startswith("the training starts from the beginning, as a checkpoint in ")

    checkpoints.save_if_due(dataclasses.replace(POSITION, step=1))
    assert checkpoints_of(tmp_path, 0.0)[0].restore() == dataclasses.replace(POSITION, step=1)


@pytest.mark.parametrize(
    "others",
    [
        [tf.Variable([1.0, 2.0, 3.0])],
        [tf.Variable([1.0, 2.0]), tf.Variable(1.0)],
        [tf.Variable([1, 2])],
        [],
    ],
    ids=["another shape", "one more", "another type", "none"],
)
def test_a_checkpoint_of_other_variables_is_passed_over(
    tmp_path: Path, others: list[tf.Variable], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints_of(tmp_path, 1.0)[0].save_if_due(POSITION)
    before = [variable.numpy().tolist() for variable in others]
    with caplog.at_level(logging.WARNING, "trainer.training.checkpoints"):
        assert Checkpoints(str(tmp_path), 0.0, others).restore() is None
    assert [variable.numpy().tolist() for variable in others] == before
    assert "the training starts from the beginning" in caplog.text


def test_a_folder_without_a_whole_checkpoint_starts_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ckpt-1.data-00000-of-00001.tempstate1").write_bytes(b"half")
    with caplog.at_level(logging.WARNING, "trainer.training.checkpoints"):
        assert checkpoints_of(tmp_path, 1.0)[0].restore() is None
    assert "the first one was not finished" in caplog.text


def test_two_checkpoints_are_kept_and_none_before_it_is_time(tmp_path: Path) -> None:
    checkpoints, _ = checkpoints_of(tmp_path / "often", 1.0)
    for step in range(1, 6):
        checkpoints.save_if_due(dataclasses.replace(POSITION, step=step))
    assert sorted(path.stem for path in (tmp_path / "often").glob("*.index")) == ["ckpt-4", "ckpt-5"]
    Checkpoints(str(tmp_path / "seldom"), 3600.0, [tf.Variable(1.0)]).save_if_due(POSITION)
    assert not (tmp_path / "seldom").exists()


def test_another_training_has_another_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("x")
    files = [str(tmp_path / name) for name in ("a", "b")]
    own = checkpoint_folder("/root", [{"config": "{}", "code": "1"}, "/transform/1", None], files)
    assert own == checkpoint_folder("/root", [{"code": "1", "config": "{}"}, "/transform/1", None], files[::-1])
    assert os.path.dirname(own) == "/root"
    others = {
        own,
        checkpoint_folder("/root", [{"config": "{}", "code": "2"}, "/transform/1", None], files),
        checkpoint_folder("/root", [{"config": "{}", "code": "1"}, "/transform/1", "/base"], files),
        checkpoint_folder("/root", [{"config": "{}", "code": "1"}, "/transform/1", None], files[:1]),
    }
    (tmp_path / "a").write_text("more")
    others.add(checkpoint_folder("/root", [{"config": "{}", "code": "1"}, "/transform/1", None], files))
    assert len(others) == 5


def test_only_what_was_given_up_long_ago_is_removed(tmp_path: Path) -> None:
    for name, days in (("old", 8), ("running", 6)):
        checkpoints_of(tmp_path / name, 1.0)[0].save_if_due(POSITION)
        changed = time.time() - days * 24 * 3600
        for path in (*(tmp_path / name).iterdir(), tmp_path / name):
            os.utime(path, (changed, changed))
    remove_stale_folders(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["running"]
    remove_stale_folders(str(tmp_path / "nothing"))


def test_a_search_that_runs_for_longer_than_a_week_is_kept(tmp_path: Path) -> None:
    """A search writes only below its folder: first its oracle's folder, then a file in each trial's."""
    ages = {"search/trial_09/trial.json": 1, "search/trial_09": 8, "search/oracle.json": 8, "search": 9, ".": 9}
    (tmp_path / "tuned/search/trial_09").mkdir(parents=True)
    for name in ("oracle.json", "trial_09/trial.json"):
        (tmp_path / "tuned/search" / name).write_text("{}")
    for path, days in ages.items():
        changed = time.time() - days * 24 * 3600
        os.utime(tmp_path / "tuned" / path, (changed, changed))
    remove_stale_folders(str(tmp_path))
    assert (tmp_path / "tuned/search/trial_09/trial.json").exists()


@pytest.mark.slow
def test_run_fn_goes_on_and_removes_the_checkpoints_in_the_end(
    demanding: Span, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "checkpoints"

    def report(name: str) -> TrainingReport:
        fn_args = demanding.fn_args(tmp_path / name)
        fn_args.custom_config[CHECKPOINT_ROOT_KEY] = str(root)
        run_fn(fn_args)
        return read_training_report(str(tmp_path / name))

    with monkeypatch.context() as patched:
        kill_at(patched, 60)
        with pytest.raises(KilledError):
            report("killed")
    assert len(list(root.iterdir())) == 1
    resumed = report("resumed")  # each attempt has its own output folder
    assert list(root.iterdir()) == []
    graph = tft.TFTransformOutput(demanding.transform_output)
    whole = prepare(demanding.config, graph, [demanding.train_files], [demanding.eval_files], None).train()
    assert whole.resumed_at == ()
    (step,) = resumed.resumed_at
    assert 0 < step < 60
    assert resumed.epochs == whole.epochs
