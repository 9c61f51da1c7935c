"""The executor of Transform with a memory, over several days: a token that a day lacks keeps its row."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import transform_pb2
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts
from tfx.utils import json_utils, proto_utils

from components.artifact_types import VocabularyMemory
from components.artifacts import LATE
from components.stateful_transform import StatefulTransform
from components.transform_executor.executor import TransformExecutor
from pipeline.beam_options import LOCAL_BEAM_ARGS
from transform.config.component_configs import for_transform
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.preprocessing import CONFIG_KEY
from transform.schema import raw_schema
from transform.stateful_vocabulary import Seen, read_vocabulary_state

CONFIG = parse_config(
    {
        "name": "x",
        "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
        "features": [
            {"name": "weekday", "side": "context", "kind": "categorical", "vocabulary": {"memory_spans": 2}},
            {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"memory_spans": 0}},
        ],
        "crosses": [{"features": ["weekday", "app"], "min_count": 2, "memory_spans": 2}],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    },
    "test",
)


@dataclasses.dataclass
class Days:
    """Runs of the executor; `rows` are (weekday, app) of the training split; the evaluation split has one row."""

    folder: Path
    config: Config = CONFIG

    def examples(self, span: int, rows: list[tuple[str, str]]) -> Artifact:
        artifact = self._artifact(standard_artifacts.Examples, f"examples-{span}")
        artifact.split_names = artifact_utils.encode_split_names(["train", "eval"])
        artifact.set_int_custom_property("span", span)
        for split, of_split in (("train", rows), ("eval", rows[:1])):
            directory = Path(artifact.uri) / f"Split-{split}"
            directory.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(directory / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
                for weekday, app in of_split:
                    writer.write(_example(weekday, app))
        return artifact

    def run(self, name: str, window: list[Artifact], memory: Artifact | None) -> tuple[tft.TFTransformOutput, Artifact]:
        """Returns the transform output learned from the window, and the updated memory."""
        schema = self._artifact(standard_artifacts.Schema, f"{name}/schema")
        Path(schema.uri).mkdir(parents=True)
        (Path(schema.uri) / "schema.pbtxt").write_text(text_format.MessageToString(raw_schema(self.config)))
        outputs = {key: [self._artifact(channel.type, f"{name}/{key}")] for key, channel in component().outputs.items()}
        outputs["transformed_examples"] = [
            self._artifact(standard_artifacts.Examples, f"{name}/transformed/{i}") for i in range(len(window))
        ]
        for artifacts in outputs.values():
            for artifact in artifacts:
                Path(artifact.uri).mkdir(parents=True)
        inputs = {"examples": window, "schema": [schema]} | ({"memory": [memory]} if memory else {})
        parameters = {
            "preprocessing_fn": "transform.preprocessing.preprocessing_fn",
            "custom_config": json_utils.dumps({CONFIG_KEY: for_transform(self.config).to_json()}),
            "splits_config": proto_utils.proto_to_json(
                transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"])
            ),
            "force_tf_compat_v1": 0,
            "disable_statistics": component().exec_properties["disable_statistics"],
        }
        context = BaseBeamExecutor.Context(
            beam_pipeline_args=list(LOCAL_BEAM_ARGS),
            tmp_dir=str(self.folder / name / "tmp"),
            unique_id="1",
        )
        TransformExecutor(context).Do(inputs, outputs, parameters)
        return tft.TFTransformOutput(outputs["transform_graph"][0].uri), outputs["updated_memory"][0]

    def _artifact(self, kind: type[Artifact], name: str) -> Artifact:
        artifact = kind()
        artifact.uri = str(self.folder / name)
        return artifact


def component() -> StatefulTransform:
    """The component as the pipeline makes it."""
    return StatefulTransform(
        examples=Channel(type=standard_artifacts.Examples),
        schema=Channel(type=standard_artifacts.Schema),
        analyzer_cache=Channel(type=standard_artifacts.TransformCache),
        memory=Channel(type=VocabularyMemory),
        preprocessing_fn="transform.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        custom_config={},
    )


def _example(weekday: str, app: str) -> bytes:
    def of(value: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    features = {"weekday": of(weekday), "app": of(app), "request_id": of("r")}
    features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return serialized


def vocabulary(output: tft.TFTransformOutput, name: str) -> list[bytes]:
    found: list[bytes] = output.vocabulary_by_name(f"{name}_vocabulary")
    return found


def test_statistics_that_nobody_reads_are_not_computed() -> None:
    assert component().exec_properties["disable_statistics"] == 1
    assert set(component().outputs) == {
        "transform_graph",
        "transformed_examples",
        "updated_analyzer_cache",
        "updated_memory",
    }


@pytest.mark.slow
def test_a_token_that_a_window_lacks_keeps_a_row_for_its_memory(tmp_path: Path) -> None:
    days = Days(tmp_path)
    thursday = days.examples(1, [("thu", "chess")] * 3 + [("thu", "maps")])
    friday = days.examples(2, [("fri", "chess")] * 2)
    output, memory = days.run("1", [thursday], None)
    assert vocabulary(output, "weekday") == [b"<missing>", b"thu"]

    output, memory = days.run("2", [friday], memory)
    assert vocabulary(output, "weekday") == [b"<missing>", b"thu", b"fri"]
    assert vocabulary(output, "app") == [b"<missing>", b"chess"]  # `app` has no memory
    assert vocabulary(output, "weekday_x_app") == [b"thu\x1fchess", b"fri\x1fchess"]
    # Four rows of Thursday, three of them with chess, halved after 2 / 2 spans; (thu, maps) was too rare for a row.
    remembered = read_vocabulary_state(memory.uri).vocabularies
    assert remembered["weekday"] == {b"fri": Seen(2.0, 2), b"thu": Seen(2.0, 1)}
    assert remembered["weekday_x_app"] == {b"fri\x1fchess": Seen(2.0, 2), b"thu\x1fchess": Seen(1.5, 1)}

    # Thursday was two spans ago in span 3, and three in span 4.
    output, memory = days.run("3", [days.examples(3, [("sat", "chess")])], memory)
    assert set(vocabulary(output, "weekday")) == {b"<missing>", b"thu", b"fri", b"sat"}
    output, memory = days.run("4", [days.examples(4, [("sun", "chess")])], memory)
    assert set(vocabulary(output, "weekday")) == {b"<missing>", b"fri", b"sat", b"sun"}


def test_all_spans_of_a_first_window_are_counted_each_by_itself(tmp_path: Path) -> None:
    days = Days(tmp_path)
    window = [days.examples(2, [("fri", "chess")] * 2), days.examples(1, [("thu", "chess")] * 4)]
    _, memory = days.run("2", window, None)
    assert read_vocabulary_state(memory.uri).vocabularies["weekday"] == {b"fri": Seen(2.0, 2), b"thu": Seen(2.0, 1)}


def test_a_new_feature_s_tokens_are_remembered_from_the_whole_window(tmp_path: Path) -> None:
    """Friday's run has a new vocabulary; the memory has counted Thursday, but not for it."""
    without = dataclasses.replace(CONFIG, spec=dataclasses.replace(CONFIG.spec, crosses=()))
    days = Days(tmp_path, without)
    thursday, friday = days.examples(1, [("thu", "chess")] * 4), days.examples(2, [("fri", "chess")] * 2)
    _, memory = days.run("1", [thursday], None)
    assert set(read_vocabulary_state(memory.uri).vocabularies) == {"weekday"}
    _, memory = dataclasses.replace(days, config=CONFIG).run("2", [thursday, friday], memory)
    remembered = read_vocabulary_state(memory.uri).vocabularies
    assert remembered["weekday"] == {b"fri": Seen(2.0, 2), b"thu": Seen(2.0, 1)}  # Thursday is not counted again
    assert remembered["weekday_x_app"] == {b"fri\x1fchess": Seen(2.0, 2), b"thu\x1fchess": Seen(2.0, 1)}


@pytest.mark.slow
def test_a_completed_tail_is_counted_with_the_span_that_completed_it(tmp_path: Path) -> None:
    days = Days(tmp_path)
    thursday, friday = days.examples(1, [("thu", "chess")] * 4), days.examples(2, [("fri", "chess")] * 2)
    tail = Days(tmp_path / "tail").examples(1, [("thu", "chess"), ("fri", "chess")])
    tail.set_int_custom_property(LATE, 1)
    _, memory = days.run("1", [thursday], None)
    _, memory = days.run("2", [thursday, friday, tail], memory)
    # Thursday's four were counted in its own run, and are halved; its tail's one is new, as are Friday's three.
    assert read_vocabulary_state(memory.uri).vocabularies["weekday"] == {b"fri": Seen(3.0, 2), b"thu": Seen(3.0, 2)}
