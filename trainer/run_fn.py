"""What TFX's Trainer calls: builds, warm-starts, trains and exports a model."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from trainer import data
from trainer.learned import read_learned
from trainer.model import WideDeep
from trainer.optimizers import JointOptimizer
from trainer.signatures import export_model
from trainer.training import TrainingResult, train
from trainer.warm_start import WarmStartReport, save_warm_start, warm_start
from transform.config import Config
from transform.feature_spec import LABEL
from transform.preprocessing import CONFIG_KEY

#: The report's name, in the model's folder beside the SavedModel's.
TRAINING_REPORT_FILE = "training_report.json"


def run_fn(fn_args: Any) -> None:
    """Trains and exports one model.

    Args:
      fn_args: TFX's `FnArgs`. Read are `custom_config["config"]` (the config's JSON), `train_files` and `eval_files`
        (lists of patterns), `transform_output`, `base_model` (the previous SavedModel's folder or None) and
        `serving_model_dir` (`<model uri>/Format-Serving`); `warm_start/` and `training_report.json` are written beside
        the latter.

    Raises:
      TrainingError: If there are no training examples, or the training diverges.
      WarmStartError: If the previous model's warm-start files cannot be read.
    """
    config = Config.from_json(fn_args.custom_config[CONFIG_KEY])
    training = config.training
    tft_output = tft.TFTransformOutput(fn_args.transform_output)
    learned = read_learned(tft_output, config.spec)
    sizes = learned.vocabulary_sizes
    model = WideDeep(config.spec, config.model, sizes, training.seed)
    optimizers = JointOptimizer(model, training)
    warm_start_report = warm_start(model, optimizers, training, learned, fn_args.base_model)

    all_features = tft_output.transformed_feature_spec()
    feature_spec = {name: all_features[name] for name in (*model.feature_names, LABEL)}
    result = train(
        model,
        optimizers,
        data.train_dataset(
            fn_args.train_files, feature_spec, training.batch_size, training.shuffle_buffer, training.seed
        ),
        data.eval_dataset(fn_args.eval_files, feature_spec),
        training,
        data.count_examples(fn_args.train_files),
    )
    export_model(model, tft_output, config, fn_args.serving_model_dir)
    save_warm_start(model, optimizers, config.spec, training, learned, fn_args.serving_model_dir)
    _write_report(fn_args.serving_model_dir, _report(result, sizes, model, warm_start_report))


def _report(
    result: TrainingResult, sizes: dict[str, int], model: WideDeep, warm_start_report: WarmStartReport
) -> dict[str, Any]:
    return {
        "num_steps": result.num_steps,
        "num_examples": result.num_examples,
        "num_epochs": len(result.epochs),
        "exported_epoch": result.exported_epoch,
        "seconds": result.seconds,
        "examples_per_second": result.examples_per_second,
        "validation": dataclasses.asdict(result.validation),
        "epochs": [dataclasses.asdict(epoch) for epoch in result.epochs],
        "vocabulary_sizes": sizes,
        "wide_table_sizes": {table.name: table.rows for table in model.wide_tables},
        "warm_started_from": warm_start_report.warm_started_from,
        "warm_start": warm_start_report.to_dict(),
    }


def _write_report(serving_model_dir: str, report: dict[str, Any]) -> None:
    path = os.path.join(os.path.dirname(serving_model_dir.rstrip("/")), TRAINING_REPORT_FILE)
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(report, indent=1))
