"""The section on the training: curves per epoch, and its figures."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Facts, Figure, Note, Table
from pipeline.report.page.sections import positions
from pipeline.report.result.run import Run
from trainer.training.position import Epoch
from trainer.training.report import TrainingReport

_TRAINING, _VALIDATION = "training loss", "validation logloss"


def blocks(run: Run) -> Iterator[Block]:
    """Yields the section's blocks."""
    training = run.report.training
    if training is None:
        yield Note(run.absent("No model was trained in this run."), "quiet")
        return
    yield from _figures(training)
    yield _facts(training)
    yield from positions.blocks(run)


def _facts(training: TrainingReport) -> Facts:
    items = [
        ("steps", numbers.count(training.num_steps)),
        ("epochs", f"{training.num_epochs}; epoch {training.exported_epoch} is exported"),
        ("time", numbers.seconds(training.seconds)),
        ("speed", f"{numbers.count(training.examples_per_second)} examples/s"),
    ]
    if training.resumed_at:
        items.append(("resumed", f"after a kill, at step {', '.join(map(numbers.count, training.resumed_at))}"))
    items += [(f"tuned: {place}", str(value)) for place, value in training.tuned.items()]
    return Facts(items)


def _figures(training: TrainingReport) -> Iterator[Block]:
    epochs = training.epochs
    if not epochs:
        yield Note("The training has no record of its epochs.", "quiet")
        return
    shown: list[Epoch] = charts.thinned(epochs)
    rows = [
        (str(e.epoch), numbers.count(e.num_examples), numbers.metric(e.loss), _or_dash(e.validation.logloss),
         _or_dash(e.validation.auc), "exported" if e.epoch == training.exported_epoch else "")
        for e in shown
    ]  # fmt: skip
    columns = ("epoch", "#examples", f"#{_TRAINING}", f"#{_VALIDATION}", "#validation AUC", "note")
    data = Table.bounded("Epochs", columns, rows)
    if len(epochs) == 1:
        yield Note("The model was trained for one epoch, so there are no curves to draw.", "quiet")
        yield data
        return
    losses = [{"x": e.epoch, "y": e.loss, "s": _TRAINING} for e in shown]
    losses += [{"x": e.epoch, "y": e.validation.logloss, "s": _VALIDATION} for e in shown if e.validation.logloss]
    words = (
        f"Training loss from {numbers.metric(epochs[0].loss)} to {numbers.metric(epochs[-1].loss)}, validation logloss "
        f"from {_or_dash(epochs[0].validation.logloss)} to {_or_dash(epochs[-1].validation.logloss)}; epoch "
        f"{training.exported_epoch} is exported. An example's training loss is that before its own step, so the first "
        "epoch's is higher."
    )
    series = (_TRAINING, _VALIDATION)
    spec = charts.lines(losses, "epoch", "loss", ordinal=True, series=series)
    yield Figure("Loss by epoch", words, spec, data)
    aucs = [{"x": e.epoch, "y": e.validation.auc, "s": "validation AUC"} for e in shown if e.validation.auc is not None]
    if aucs:
        words = (
            f"Validation AUC from {_or_dash(epochs[0].validation.auc)} to {_or_dash(epochs[-1].validation.auc)}; "
            f"epoch {training.exported_epoch} is exported."
        )
        spec = charts.lines(aucs, "epoch", "AUC", ordinal=True)
        yield Figure("AUC by epoch", words, spec, data)


def _or_dash(value: float | None) -> str:
    return "–" if value is None else numbers.metric(value)
