"""TensorBoard's event files, read with TensorFlow's own reader while a training runs."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from tests.trainer.memory_data import BATCH_SIZE, COUNTS, NUM_EXAMPLES, dataset, wide_model_of
from tests.trainer.small_deployment import Span
from trainer.optimizers import JointOptimizer
from trainer.training import event_files
from trainer.training.event_files import EventFiles
from trainer.training.loop import train
from trainer.training.position import Epoch, Metrics
from trainer.training_size import sized
from transform.config import settings
from transform.config.config import Config


def values_of(folder: Path) -> dict[tuple[str, int], float]:
    """The numbers in a folder, which has one file once there are any, by tag and step."""
    files = list(folder.glob("events.out.*"))
    assert len(files) <= 1
    events = [event for file in files for event in tf.compat.v1.train.summary_iterator(str(file))]
    values = [(event.step, value) for event in events for value in event.summary.value]
    # TensorBoard keeps a tag's metadata from its first value.
    assert {v.metadata.plugin_data.plugin_name for _, v in values if v.HasField("metadata")} <= {"scalars"}
    return {(value.tag, step): float(tf.make_ndarray(value.tensor)) for step, value in values}


def test_what_is_written_can_be_read_at_once(tmp_path: Path) -> None:
    with EventFiles(str(tmp_path)) as events:
        events.write_steps(3, 0.625)
        events.write_steps(4, 0.5)  # too soon
        expected = {("loss/train_so_far", 3): 0.625}
        assert values_of(tmp_path) == expected
        events.write_epoch(Epoch(1, 100, 0.5, Metrics(20, None, 0.375)))
        expected |= {("loss/train", 1): 0.5, ("loss/validation", 1): 0.375}
        assert values_of(tmp_path) == expected
        events.write_epoch(Epoch(2, 100, 0.25, Metrics(20, 0.75, 0.125)))
        expected |= {("loss/train", 2): 0.25, ("loss/validation", 2): 0.125, ("auc/validation", 2): 0.75}
        assert values_of(tmp_path) == expected


def test_a_running_training_has_written_the_epochs_before(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "_SECONDS", 0.0)
    training = sized(settings.Training(batch_size=BATCH_SIZE, num_epochs=3, patience=0), NUM_EXAMPLES)
    model = wide_model_of(config)
    seen = []

    def batches(_: int, skip_batches: int) -> tf.data.Dataset:
        seen.append(set(values_of(tmp_path)))
        return dataset(1).skip(skip_batches)

    with EventFiles(str(tmp_path)) as events:
        result = train(model, JointOptimizer(model, training), batches, dataset(2), training, COUNTS, events=events)
    tags = ("loss/train", "loss/validation", "auc/validation")
    for num_epochs, found in enumerate(seen):
        by_epoch = {(tag, epoch) for tag in tags for epoch in range(1, num_epochs + 1)}
        assert {(tag, step) for tag, step in found if tag in tags} == by_epoch
        steps = {step for tag, step in found - by_epoch}
        assert max(steps, default=0) == 4 * num_epochs
    assert values_of(tmp_path)["auc/validation", 3] == pytest.approx(result.epochs[2].validation.auc)


def _train(fn_args: FnArgs) -> None:
    """Trains in another process. TFX imports `trainer.run_fn` anew, so that the function itself cannot be pickled."""
    from trainer.run_fn import run_fn

    run_fn(fn_args)


@pytest.mark.slow
def test_an_event_file_is_there_while_a_process_trains(first_span: Span, tmp_path: Path) -> None:
    training = dataclasses.replace(first_span.config.training, num_epochs=10_000)
    fn_args = first_span.fn_args(tmp_path, config=dataclasses.replace(first_span.config, training=training))
    fn_args.model_run_dir = str(tmp_path / "run")
    process = multiprocessing.get_context("spawn").Process(target=_train, args=(fn_args,))
    process.start()
    try:
        while not (found := values_of(tmp_path / "run")):
            assert process.is_alive()
            time.sleep(0.1)
        assert process.is_alive()
        assert ("loss/train_so_far", 1) in found
    finally:
        process.kill()
        process.join()
