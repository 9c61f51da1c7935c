"""Runs an executor of Transform on files, TFX's or the project's, and reads all that it wrote."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.components.transform.executor import Executor as StockExecutor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import transform_pb2
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.utils import proto_utils

from components.artifact_types import VocabularyMemory
from components.transform_executor.executor import TransformExecutor
from pipeline.beam_options import LOCAL_BEAM_ARGS
from transform.config.component_configs import for_transform
from transform.config.component_settings import DataSettings
from transform.config.config import Config
from transform.preprocessing import CONFIG_KEY, REMEMBERED_KEY, preprocessing_fn
from transform.schema import schema_text
from transform.stateful_vocabulary import earlier_tokens, read_vocabulary_state

#: A change of `small_config`: a number that is scaled by its mean and variance.
SCALED_NUMBER = (
    "features.3",
    {"name": "size", "side": "item", "kind": "numeric", "source": "catalog", "scale": "standard", "parts": ["deep"]},
)


@dataclasses.dataclass(frozen=True)
class Written:
    """What a run wrote.

    Attributes:
      files: The contents of the vocabularies and of the metadata, by path.
      rows: The transformed examples in their order, by the number of the span and the split.
      cache: The folder of the analyzers' cache.
      memory: The VocabularyMemory; None from TFX's executor.
    """

    files: dict[str, bytes]
    rows: dict[tuple[int, str], list[tf.train.Example]]
    cache: Artifact
    memory: Artifact | None


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    """Returns an artifact in a new folder."""
    made = kind()
    made.uri = str(folder)
    folder.mkdir(parents=True)
    return made


def examples(folder: Path, span: int, splits: dict[str, list[Iterable[bytes]]]) -> Artifact:
    """Writes a span's examples: for each split, the rows of each of its files."""
    made = artifact(standard_artifacts.Examples, folder)
    made.split_names = artifact_utils.encode_split_names(list(splits))
    made.set_int_custom_property("span", span)
    for split, files in splits.items():
        (folder / f"Split-{split}").mkdir()
        for number, rows in enumerate(files):
            path = folder / f"Split-{split}" / f"data_tfrecord-{number:05d}-of-{len(files):05d}.gz"
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for row in rows:
                    writer.write(row)
    return made


def execute(
    executor: type[BaseBeamExecutor],
    config: Config,
    window: list[Artifact],
    folder: Path,
    cache: Artifact | None = None,
    memory: Artifact | None = None,
    beam_args: Sequence[str] = LOCAL_BEAM_ARGS,
) -> dict[str, list[Artifact]]:
    """Runs an executor on a window of spans; returns its outputs, below the folder."""
    schema = artifact(standard_artifacts.Schema, folder / "schema")
    (folder / "schema" / "schema.pbtxt").write_text(schema_text(config))
    outputs = {
        "transform_graph": [artifact(standard_artifacts.TransformGraph, folder / "graph")],
        "transformed_examples": [
            artifact(standard_artifacts.Examples, folder / "transformed" / str(i)) for i in range(len(window))
        ],
        "updated_analyzer_cache": [artifact(standard_artifacts.TransformCache, folder / "cache")],
        "updated_memory": [artifact(VocabularyMemory, folder / "memory")],
    }
    inputs = {"examples": window, "schema": [schema]}
    inputs |= {"analyzer_cache": [cache]} if cache else {}
    custom_config: dict[str, Any] = {CONFIG_KEY: for_transform(config).to_json()}
    function = "transform.preprocessing.preprocessing_fn"
    if memory and executor is StockExecutor:
        function = f"{__name__}.stock_preprocessing_fn"
        custom_config |= {"memory": memory.uri, "span": max(e.get_int_custom_property("span") for e in window)}
    elif memory:
        inputs["memory"] = [memory]
    parameters = {
        "preprocessing_fn": function,
        "custom_config": json.dumps(custom_config),
        "splits_config": proto_utils.proto_to_json(
            transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"])
        ),
        "force_tf_compat_v1": 0,
        "disable_statistics": 1,
    }
    context = BaseBeamExecutor.Context(beam_pipeline_args=list(beam_args), tmp_dir=str(folder / "tmp"), unique_id="1")
    executor(context).Do(inputs, outputs, parameters)
    return outputs


def stock_preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """`preprocessing_fn` of TFX's executor, which has no memory: reads the tokens that the project's executor adds."""
    memory = read_vocabulary_state(custom_config["memory"])
    spec = DataSettings.from_json(custom_config[CONFIG_KEY]).spec
    remembered = earlier_tokens(memory, spec, custom_config["span"])
    return preprocessing_fn(inputs, {**custom_config, REMEMBERED_KEY: remembered})


def run(
    executor: type[BaseBeamExecutor],
    config: Config,
    window: list[Artifact],
    folder: Path,
    cache: Artifact | None = None,
    memory: Artifact | None = None,
    beam_args: Sequence[str] = LOCAL_BEAM_ARGS,
) -> Written:
    """Runs an executor as `execute`; returns what it wrote."""
    outputs = execute(executor, config, window, folder, cache, memory, beam_args)
    ours = executor is TransformExecutor
    return Written(
        _files(folder / "graph"),
        {(i, split): _rows(folder / "transformed" / str(i), split) for i in range(len(window)) for split in _SPLITS},
        outputs["updated_analyzer_cache"][0],
        outputs["updated_memory"][0] if ours else None,
    )


_SPLITS = ("train", "eval")


def _files(graph: Path) -> dict[str, bytes]:
    folders = (graph / "transform_fn" / "assets", graph / "transformed_metadata", graph / "metadata")
    return {str(p.relative_to(graph)): p.read_bytes() for folder in folders for p in folder.rglob("*") if p.is_file()}


def _rows(folder: Path, split: str) -> list[tf.train.Example]:
    files = sorted(str(path) for path in (folder / f"Split-{split}").glob("transformed_examples-*.gz"))
    return [tf.train.Example.FromString(row.numpy()) for row in tf.data.TFRecordDataset(files, "GZIP")]
