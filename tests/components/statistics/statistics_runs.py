"""Runs an executor of StatisticsGen on rows, and reads what it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import Artifact, standard_artifacts

from components.statistics.computing import FileStatistics, StatisticsTask, merged_statistics
from components.statistics.value_counts import MAX_VALUES
from pipeline.beam_options import LOCAL_BEAM_ARGS
from tests.components.transform_executor.transform_runs import artifact

Row = Mapping[str, Any]


def example(row: Row) -> bytes:
    """Returns a row as a serialized tf.Example; of a list's items, the first tells the type, and None has none."""
    found = tf.train.Example()
    for name, values in row.items():
        feature = found.features.feature[name]
        match values:
            case None:
                pass
            case []:
                feature.bytes_list.SetInParent()
            case [bytes(), *_]:
                feature.bytes_list.value.extend(values)
            case [int(), *_]:
                feature.int64_list.value.extend(values)
            case _:
                feature.float_list.value.extend(values)
    serialized: bytes = found.SerializeToString(deterministic=True)
    return serialized


def computed(
    files: Sequence[Path], folder: Path, batch_size: int = 7, max_values: int = MAX_VALUES
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Returns the statistics of files, whose states are written into a folder."""
    folder.mkdir()
    tasks = [StatisticsTask(str(file), str(folder / str(number))) for number, file in enumerate(files)]
    for task in tasks:
        FileStatistics(batch_size, max_values).begin()(task)
    return merged_statistics(tasks, max_values)


def run(
    executor: type[BaseBeamExecutor], examples: Artifact, folder: Path, beam_args: Sequence[str] = LOCAL_BEAM_ARGS
) -> Artifact:
    """Runs an executor on examples, and returns the statistics."""
    statistics = artifact(standard_artifacts.ExampleStatistics, folder)
    context = executor.Context(beam_pipeline_args=list(beam_args), tmp_dir=str(folder / "tmp"), unique_id="1")
    executor(context).Do({"examples": [examples]}, {"statistics": [statistics]}, {"exclude_splits": "[]"})
    return statistics


def read(statistics: Artifact, split: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Reads the statistics of a split."""
    path = Path(statistics.uri) / f"Split-{split}" / "FeatureStats.pb"
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())


def by_feature(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, dict[str, Any]]:
    """Returns the messages of the features as dicts by name, and what is of the whole split under an empty name."""
    (dataset,) = statistics.datasets
    found = {feature.path.step[0]: json_format.MessageToDict(feature) for feature in dataset.features}
    assert len(found) == len(dataset.features)
    whole = json_format.MessageToDict(dataset)
    return {**found, "": {name: value for name, value in whole.items() if name != "features"}}


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Returns the leaves of nested dicts and lists by path."""
    if not isinstance(value, dict | list):
        return {path: value}
    items: Sequence[tuple[Any, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
    return {leaf: of_leaf for key, of in items for leaf, of_leaf in leaves(of, f"{path}/{key}").items()}
