"""The Trainer's `run_fn`: builds, warm-starts, trains and exports a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from pydantic import TypeAdapter

from trainer.explanations.wide_weights import non_zero_rows, to_markdown
from trainer.rank_export.catalog import digest_of, read_items
from trainer.reference_models import References, fit_references
from trainer.signatures import export_model
from trainer.trainer_predictions import trainer_predictions
from trainer.training.checkpoints import remove_folder
from trainer.training.event_files import EventFiles
from trainer.training.loop import TrainingResult
from trainer.training.placement import tower_curve, weighed
from trainer.training.progress import log_stage
from trainer.training.report import TRAINING_REPORT_FILE, WIDE_WEIGHTS_FILE, TrainingReport
from trainer.training.setup import TrainingSetup, prepare, resumable_folder
from trainer.warm_start.warm_start import save_warm_start
from transform.config.component_settings import TrainerSettings, TrainingSettings
from transform.config.tuning import decoded, with_values
from transform.files.records import CATALOG_KEY
from transform.files.reference_scores import USER_KEY, write_reference_scores
from transform.files.trainer_predictions import RAW_EVAL_FILES_KEY, write_trainer_predictions
from transform.preprocessing import CONFIG_KEY
from transform.ranking import absent_signatures


def run_fn(fn_args: Any) -> None:
    """Trains and exports one model.

    Args:
      fn_args: TFX's `FnArgs`. It reads `custom_config["config"]` (the config's JSON) and, if present,
        `custom_config["user"]` (the feature that is the user's id), `custom_config["checkpoint_root"]` (the folder of
        checkpoints), `custom_config["raw_eval_files"]` (patterns of raw examples to score) and
        `custom_config["catalog"]` (the folder of the catalog's snapshot); `train_files` and
        `eval_files` (lists of patterns), `transform_graph_path`, `base_model` (the previous SavedModel's folder or
        None), `hyperparameters` (the Tuner's result, or None) and `serving_model_dir`
        (`<model uri>/Format-Serving`). It writes `warm_start/`, `own_scores/`, `reference_scores.npz`,
        `training_report.json` and `wide_weights.md` beside the latter, and TensorBoard's event files into
        `model_run_dir`, if present.

    Raises:
      TrainingError: If there are no training examples, or the training diverges.
      WarmStartError: If the previous model's warm-start files cannot be read.
    """
    tuned = decoded(fn_args.hyperparameters["values"]) if fn_args.hyperparameters else {}
    config = with_values(TrainerSettings.from_json(fn_args.custom_config[CONFIG_KEY]), tuned)
    tft_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    prepared = prepare(config, tft_output, fn_args.train_files, fn_args.eval_files, fn_args.base_model)
    folder = resumable_folder(fn_args)
    model_run = getattr(fn_args, "model_run_dir", None)  # TFX's Trainer has one, other callers have none
    with EventFiles(model_run) as events, ThreadPoolExecutor(1) as pool:
        # A training does not use all cores all the time.
        fitted = pool.submit(fit_references, prepared, fn_args.custom_config.get(USER_KEY))
        result = prepared.train(folder, events)
        log_stage("waiting for the reference models")
        references = fitted.result()
        write_reference_scores(references.scored, os.path.dirname(fn_args.serving_model_dir.rstrip("/")))

    model, transform_state, directory = prepared.model, prepared.transform_state, fn_args.serving_model_dir
    if raw_files := fn_args.custom_config.get(RAW_EVAL_FILES_KEY):
        log_stage("scoring logged rows")
        write_trainer_predictions(
            trainer_predictions(prepared, tft_output, raw_files, config.skew.num_rows),
            os.path.dirname(directory.rstrip("/")),
        )
    log_stage("exporting the model")
    catalog = fn_args.custom_config.get(CATALOG_KEY)
    items, digest = read_items(config, catalog), digest_of(catalog)
    signatures = export_model(model, tft_output, config, directory, items, prepared.counts, transform_state, digest)
    log_stage("writing the warm-start files")
    save_warm_start(model, prepared.optimizers, config.spec, prepared.config.training, transform_state, directory)
    _write(directory, WIDE_WEIGHTS_FILE, to_markdown(model, transform_state))
    _write(directory, TRAINING_REPORT_FILE, _report(result, prepared, tuned, signatures, references).to_json())
    if folder is not None:
        remove_folder(folder)


def _report(
    result: TrainingResult,
    prepared: TrainingSetup,
    tuned: Mapping[str, Any],
    signatures: Sequence[str],
    references: References,
) -> TrainingReport:
    model, warm_start_report = prepared.model, prepared.warm_start_report
    return TrainingReport(
        tuned=tuned,
        settings=TypeAdapter(TrainingSettings).dump_python(prepared.config, mode="json", include={"model", "training"}),
        num_steps=result.num_steps,
        num_examples=result.num_examples,
        num_withheld_examples=prepared.label_counts.withheld,
        num_held_out_examples=prepared.label_counts.held_out,
        num_trained_examples=sum(epoch.num_examples for epoch in result.epochs),
        num_epochs=len(result.epochs),
        exported_epoch=result.exported_epoch,
        seconds=result.seconds,
        examples_per_second=result.examples_per_second,
        resumed_at=result.resumed_at,
        validation=result.validation,
        epochs=result.epochs,
        vocabulary_sizes=prepared.transform_state.vocabulary_sizes,
        wide_table_sizes={table.name: table.rows for table in model.wide_tables},
        wide_non_zero_rows=non_zero_rows(model),
        signatures=tuple(signatures),
        absent_signatures=absent_signatures(prepared.config),
        warm_started_from=warm_start_report.warm_started_from,
        warm_start=warm_start_report,
        references_left_out=references.left_out,
        references_seconds=references.seconds,
        position=tower_curve(model, prepared.config.spec, prepared.transform_state)
        or weighed(prepared.config.spec, prepared.window.train_files, prepared.parsing),
    )


def _write(serving_model_dir: str, name: str, text: str) -> None:
    """Writes a file beside the SavedModel."""
    path = os.path.join(os.path.dirname(serving_model_dir.rstrip("/")), name)
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(text)
