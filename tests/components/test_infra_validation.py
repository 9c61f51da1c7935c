"""Exported models in a process of their own: the good one is blessed, each bad one refused in a sentence."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.infra_validation.component import VERDICT_FILE, InfraValidationExecutor, raw_requests
from serving.dry_run import judge
from tests.components.saved_models import export

#: What a model is, and how many seconds it may take.
KINDS = {"good": 200.0, "nan": 200.0, "truncated": 200.0, "hangs": 10.0}


def examples_artifact(folder: Path, **sizes: int) -> standard_artifacts.Examples:
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = json.dumps(list(sizes))
    for split, number in sizes.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        for part in range(2):
            name = folder / f"Split-{split}" / f"data-{part}.gz"
            with tf.io.TFRecordWriter(str(name), "GZIP") as writer:
                for i in range(part, number, 2):
                    example = tf.train.Example()
                    example.features.feature["x"].float_list.value.append(float(i))
                    example.features.feature["label"].int64_list.value.append(i % 2)
                    writer.write(example.SerializeToString())
    return artifact


def validate(
    model_folder: Path, examples: standard_artifacts.Examples, out: Path, seconds: float
) -> tuple[int, dict[str, Any]]:
    model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
    model.uri, blessing.uri = str(model_folder), str(out)
    out.mkdir(parents=True)
    InfraValidationExecutor().Do(
        {"model": [model], "examples": [examples]},
        {"blessing": [blessing]},
        {"num_requests": 5, "timeout_seconds": seconds, "code_fingerprint": "x"},
    )
    verdict = json.loads((out / VERDICT_FILE).read_text())
    return blessing.get_int_custom_property("blessed"), verdict


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("models")
    examples = examples_artifact(folder / "examples", train=3, eval=8)
    models = {kind: export(kind, folder / kind) for kind in KINDS}
    with ThreadPoolExecutor(2) as pool:
        running = {
            kind: pool.submit(validate, models[kind], examples, folder / f"{kind} blessing", seconds)
            for kind, seconds in KINDS.items()
        }
        return {kind: future.result() for kind, future in running.items()}


def test_a_good_model_is_blessed(verdicts: dict[str, tuple[int, dict[str, Any]]]) -> None:
    blessed, verdict = verdicts["good"]
    assert (blessed, verdict["problem"], verdict["num_requests"]) == (1, "", 5)
    # The first five examples: x = 0, 2, 4, 6 of the first file, then 1.
    assert verdict["min_score"] == pytest.approx(0.5)
    assert verdict["max_score"] == pytest.approx(0.9975274)  # 1 / (1 + e^-6)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("nan", "every score must be finite. Received: 3 of 5 that are not"),
        ("hangs", "the model must answer within 10 seconds; it hung"),
    ],
)
def test_a_bad_model_is_refused(verdicts: dict[str, tuple[int, dict[str, Any]]], kind: str, problem: str) -> None:
    blessed, verdict = verdicts[kind]
    assert (blessed, verdict["problem"]) == (0, problem)


def test_a_model_that_does_not_load_is_refused(verdicts: dict[str, tuple[int, dict[str, Any]]]) -> None:
    blessed, verdict = verdicts["truncated"]
    assert blessed == 0
    assert verdict["problem"].startswith("the model's process ended with exit code 1: ")
    assert verdict["problem"] != "the model's process ended with exit code 1: no word"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("good", ""),
        ("nan", "every score must be finite. Received: 3 of 5 that are not"),
        ("constant", "scores must differ between requests. Received: 0.5 for all"),
        ("no signature", "the model must have the signature 'serving_default'. Received: ['other']"),
        ("logits", "scores must lie in [0, 1]. Received: 0.0 to 4.0"),
        ("one", "the model must give one score a request. Received: shape (1,) for 5"),
    ],
)
def test_the_dry_run_tells_what_is_wrong(tmp_path: Path, kind: str, problem: str) -> None:
    examples = examples_artifact(tmp_path / "examples", eval=5)
    with tf.io.TFRecordWriter(str(tmp_path / "requests")) as writer:
        for request in raw_requests(examples, "eval", 5):
            writer.write(request)
    verdict = judge(str(export(kind, tmp_path / kind) / "Format-Serving"), str(tmp_path / "requests"))
    assert verdict["problem"] == problem


@pytest.mark.parametrize("number", [0, 1])
def test_without_two_examples_no_model_is_blessed(tmp_path: Path, number: int) -> None:
    examples = examples_artifact(tmp_path / "examples", train=3, eval=number)
    assert validate(tmp_path, examples, tmp_path / "out", 1.0) == (
        0,
        {"problem": f"there must be at least 2 examples to score. Received: {number}"},
    )


def test_a_request_is_an_example_without_its_label(tmp_path: Path) -> None:
    examples = examples_artifact(tmp_path, train=2, eval=8)
    requests = [tf.train.Example.FromString(r).features.feature for r in raw_requests(examples, "eval", 6)]
    assert [r["x"].float_list.value[0] for r in requests] == [0, 2, 4, 6, 1, 3]
    assert {name for r in requests for name in r} == {"x"}
