"""Explanations by the small store's pushed model: they add up on every row, and `wdr explain` prints them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from transform.signature_names import MAX_EXPLAINED

pytestmark = pytest.mark.slow


def test_explanations_add_up_on_every_row(first_day: tuple[Path, str]) -> None:
    """Wide + deep + bias is the served logit to 1e-5; attributions miss at most 1 % or 0.01 of the deep logit."""
    workspace = first_day[0]
    signatures: Any = tf.saved_model.load(str(workspace / "serving" / store.NAME / "1")).signatures
    files = [str(path) for path in (workspace / "artifacts" / "example_gen" / "examples").glob("*/Split-*/*")]
    rows = list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    assert len(rows) > 3500
    num_weights = 0
    for at in range(0, len(rows), MAX_EXPLAINED):
        examples = tf.constant(rows[at : at + MAX_EXPLAINED])
        served = signatures["serving_default"](examples=examples)["scores"].numpy().astype(np.float64)
        of = {name: value.numpy() for name, value in signatures["explain"](examples=examples).items()}
        logits = of["bias"] + of["wide_weights"].sum(axis=1) + of["deep_logits"]
        np.testing.assert_allclose(logits, np.log(served / (1 - served)), rtol=0, atol=1e-5)
        change = of["deep_logits"] - of["deep_baseline_logits"]
        np.testing.assert_allclose(change - of["deep_attributions"].sum(axis=1), of["deep_gaps"], rtol=0, atol=1e-6)
        assert np.all(np.abs(of["deep_gaps"]) <= np.maximum(0.01, 0.01 * np.abs(change)))
        num_weights += int(np.count_nonzero(of["wide_weights"]))
    assert num_weights > len(rows)


def test_wdr_explain_prints_what_the_scores_consist_of(first_day: tuple[Path, str], data: Path, tmp_path: Path) -> None:
    model, read = first_day[0] / "serving" / store.NAME / "1", tmp_path / "rows.csv"
    with (data / "users" / "day-1" / "part-00000.csv").open(newline="") as file:
        users = [{"app_id": "com.store.app1", **user} for _, user in zip(range(3), csv.DictReader(file), strict=False)]
    with read.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["app_id", "country", "installed_apps"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(users)
    printed = ok_in_process("explain", "--model", model, "--input", read, "--rows", "2", "--json")
    ok_in_process("score", "--model", model, "--input", read, "--output", tmp_path / "out.jsonl")
    scored = [json.loads(line)["score"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    explained = [json.loads(line) for line in printed.splitlines()]
    assert len(explained) == 2
    for one, score in zip(explained, scored, strict=False):
        logit = one["bias"] + sum(term["logit"] for term in one["wide"]) + one["deep_logit"]
        assert 1 / (1 + np.exp(-logit)) == pytest.approx(score, abs=1e-6)
        assert [part["feature"] for part in one["deep"]][:4] == ["country", "installed_apps", "app_id", "rating"]
    table = ok_in_process("explain", "--model", model, "--input", read, "--rows", "1")
    assert "row 2: score" in table or "row 1: score" in table
