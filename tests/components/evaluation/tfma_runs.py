"""Runs TFMA on rows that already have both models' scores, with its own extractors, evaluators and writers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.metrics.metric_types import MetricKey
from tensorflow_model_analysis.proto import config_pb2
from tfx_bsl.tfxio import tf_example_record

from components.evaluation.extractors import custom_extractors

SCHEMA = text_format.Parse(
    "".join(
        f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} shape {{ dim {{ size: 1 }} }} }}'
        for name, kind in [
            ("request_id", "BYTES"), ("country", "BYTES"), ("category", "BYTES"), ("label", "INT"), ("weight", "FLOAT"),
            ("candidate", "FLOAT"), ("baseline", "FLOAT"),
        ]
    )
    + 'feature { name: "user_id" type: BYTES }',  # without a fixed shape, like a feature that is not required
    schema_pb2.Schema(),
)  # fmt: skip

Results = dict[tuple[Any, ...], dict[MetricKey, Any]]


def example(row: Mapping[str, Any]) -> bytes:
    found = tf.train.Example()
    for name, value in row.items():
        feature = found.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    return bytes(found.SerializeToString())


def with_models(config: config_pb2.EvalConfig, *, paired: bool, weighted: bool = False) -> config_pb2.EvalConfig:
    """Returns the config with models named as by TFX's Evaluator, whose scores are read from the rows."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    del result.model_specs[:]
    result.model_specs.add(label_key="label", example_weight_key="weight" if weighted else None)
    result = tfma.utils.update_eval_config_with_defaults(result, has_baseline=paired, rubber_stamp=True)
    for spec in result.model_specs:
        spec.prediction_key = spec.name or "candidate"
    return result


def run(
    rows: Iterable[Mapping[str, Any]],
    config: config_pb2.EvalConfig,
    output: Path,
    *,
    num_workers: int = 1,
    batch_size: int = 100,
) -> tuple[Results, bool]:
    """Evaluates rows.

    Args:
      rows: The features of each row.
      config: The config, as returned by `with_models`.
      output: A folder for the results.
      num_workers: The number of workers of Beam's local runner, each with its own bundles.
      batch_size: Rows per record batch.

    Returns:
      The metrics by slice, and whether the thresholds were kept.
    """
    source = tf_example_record.TFExampleBeamRecord(
        physical_format="inmem",
        telemetry_descriptors=["test"],
        schema=SCHEMA,
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
    )
    options = PipelineOptions(
        [
            "--runner=FnApiRunner",
            f"--direct_running_mode={'in_memory' if num_workers == 1 else 'multi_processing'}",
            f"--direct_num_workers={num_workers}",
        ]
    )
    models = [
        tfma.EvalSharedModel(
            model_name=spec.name, model_type=tfma.constants.MATERIALIZED_PREDICTION, is_baseline=spec.is_baseline
        )
        for spec in config.model_specs
    ]
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create([example(row) for row in rows])
            | beam.Reshuffle()
            | source.BeamSource(batch_size=batch_size)
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=models,
                eval_config=config,
                extractors=custom_extractors(models, config, None),
                output_path=str(output),
            )
        )
    results: Results = {}
    for record in tfma.load_metrics(str(output)):
        slice_key = tfma.slicer.deserialize_slice_key(record.slice_key)
        results[slice_key] = {
            MetricKey.from_proto(entry.key): entry.value.double_value.value for entry in record.metric_keys_and_values
        }
    return results, tfma.load_validation_result(str(output)).validation_ok
