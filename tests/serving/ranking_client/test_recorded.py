"""Tests of reading requests from a pushed version and from a JSONL file."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.load_test.recorded import read_catalog, read_recorded
from serving.ranking_client.features import encode_example
from serving.ranking_client.messages import string_tensor
from transform.errors import InputError
from transform.example_keys import TABLE_KEY


def write_version(folder: Path, records: list[prediction_log_pb2.PredictionLog], catalog: dict[str, float]) -> str:
    """Writes the parts of a pushed version that a load test reads; without a catalog if `catalog` is empty."""
    table = folder / "assets.extra" / "catalog" / "apps"
    (table if catalog else folder / "assets.extra").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    if not catalog:
        return str(folder)
    with tf.io.TFRecordWriter(str(table / "data-00000.gz"), tf.io.TFRecordOptions("GZIP")) as writer:
        for key, quality in catalog.items():
            writer.write(encode_example({TABLE_KEY: key, "quality": quality}, "x", 1000))
    return str(folder)


def log_of(**inputs: tuple[list[bytes], list[int]]) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    for name, (values, shape) in inputs.items():
        log.predict_log.request.inputs[name].MergeFromString(string_tensor(values, shape).SerializeToString())
    return log


def test_without_a_catalog_the_candidates_are_those_of_the_requests(tmp_path: Path) -> None:
    records = [
        log_of(context=([b"c1"], [1]), item_ids=([b"a", b"b"], [1, 2])),
        log_of(context=([b"c2", b"c3"], [2]), item_ids=([b"b", b"c", b"d", b""], [2, 2])),
    ]
    recorded = read_recorded(write_version(tmp_path, records, {}))
    assert recorded.contexts == [b"c1", b"c2", b"c3"]
    assert recorded.candidates == ["a", "b", "c", "d"]


def test_requests_of_either_signature_are_contexts_for_the_catalog_s_items(tmp_path: Path) -> None:
    records = [log_of(examples=([b"e1", b"e2"], [2])), log_of(context=([b"c"], [1]), item_ids=([b"a"], [1, 1]))]
    path = write_version(tmp_path, records, {"x": 1.0, "y": 2.0})
    recorded = read_recorded(path)
    assert recorded.contexts == [b"e1", b"e2", b"c"]
    assert recorded.candidates == ["x", "y"]
    assert read_catalog(path) == {
        "x": encode_example({"quality": 1.0}, "x", 1000),
        "y": encode_example({"quality": 2.0}, "x", 1000),
    }


def test_a_model_without_rank_is_given_each_candidate_s_features(tmp_path: Path) -> None:
    records = [
        log_of(examples=([b"e1"], [1])),
        log_of(context=([b"c"], [1]), item_ids=([b"a", b"b"], [1, 2]), items=([b"of a", b"of b"], [1, 2])),
    ]
    path = write_version(tmp_path, records, {"x": 1.0})
    assert read_recorded(path).candidates == [("a", b"of a"), ("b", b"of b")]
    ranks = log_of(context=([b"c"], [1]), item_ids=([b"a"], [1, 1]))
    ranks.predict_log.request.model_spec.signature_name = "rank"
    again = write_version(tmp_path / "ranks", [*records, ranks], {"x": 1.0})
    assert read_recorded(again).candidates == ["x"]


def test_json_lines_are_bodies_of_the_service(tmp_path: Path) -> None:
    lines = [
        {"context": {"age": 30}, "candidates": ["a", {"id": "n", "features": {"quality": 2.5}}]},
        {"context": {"age": 40}, "candidates": ["b", "a"], "k": 1},
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    recorded = read_recorded(str(path))
    assert recorded.contexts == [{"age": 30}, {"age": 40}]
    assert recorded.candidates == ["a", ("n", {"quality": 2.5}), "b"]


@pytest.mark.parametrize(("number", "distinct"), [(3, 3), (4, 4), (20, None)])
def test_candidates_are_drawn_the_same_each_time(tmp_path: Path, number: int, distinct: int | None) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"context": {"n": 1}, "candidates": ["a", "b"]}\n{"context": {"n": 2}, "candidates": ["c", "d"]}')
    recorded = read_recorded(str(path))
    first, again = (list(itertools.islice(recorded.requests(number), 5)) for _ in range(2))
    assert first == again
    assert [context["n"] for context, _ in first if isinstance(context, dict)] == [1, 2, 1, 2, 1]
    for _, candidates in first:
        assert len(candidates) == number
        assert set(candidates) <= set("abcd")
        assert distinct is None or len(set(candidates)) == distinct


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Invalid JSON: "),
        ('{"context": {}, "candidates": []}', "candidates: List should have at least 1 item"),
        ("", "requests must have contexts and candidates. Received: 0 and 0 "),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(content)
    with pytest.raises(InputError) as raised:
        read_recorded(str(path))
    assert problem in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_damaged_version_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a TFRecord file must be readable\. Received: No such file or directory \("):
        read_recorded(str(tmp_path))
    path = write_version(tmp_path / "v", [log_of(examples=([b"e" * 100], [1]))], {"x": 1.0})
    warmup = tmp_path / "v" / "assets.extra" / "tf_serving_warmup_requests"
    warmup.write_bytes(warmup.read_bytes()[:50])
    with pytest.raises(InputError, match=r"^a TFRecord file must end with a whole record \("):
        read_recorded(path)
    catalog = tmp_path / "v" / "assets.extra" / "catalog" / "apps" / "data-00000.gz"
    catalog.write_bytes(catalog.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"^a TFRecord file must be readable\. Received: Compressed file ended"):
        read_catalog(path)
