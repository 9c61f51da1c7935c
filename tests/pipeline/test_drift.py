"""Drift between two spans' statistics, through TFX's own DistributionValidator and the gate behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tfx.components.distribution_validator.executor import Executor
from tfx.types import standard_artifacts, standard_component_specs

from components.artifacts import GateVerdict
from components.gates import RELEASE, DriftGate, drift_found
from pipeline.drift import drift_config
from transform.drift_settings import Drift
from transform.errors import GateError

#: 100 impressions a day, by country: the mix of the second day has turned.
FIRST = ["de"] * 80 + ["fr"] * 20
SECOND = ["de"] * 20 + ["fr"] * 80


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Jensen-Shannon, to the base 2."""
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return sum(x * math.log2(x / m) / 2 for side in (p, q) for x, m in zip(side, middle, strict=True))


def statistics(folder: Path, countries: list[str], labels: list[int]) -> standard_artifacts.ExampleStatistics:
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri, artifact.split_names = str(folder), '["train", "eval"]'
    of_day = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"country": countries, "label": labels}))
    for split in ("train", "eval"):
        (folder / f"Split-{split}").mkdir(parents=True)
        (folder / f"Split-{split}" / "FeatureStats.pb").write_bytes(of_day.SerializeToString())
    return artifact


def validate(
    tmp_path: Path, drift: Drift, current: Sequence[object], before: Sequence[object] | None
) -> standard_artifacts.ExampleAnomalies:
    anomalies = standard_artifacts.ExampleAnomalies()
    anomalies.uri = str(tmp_path / "anomalies")
    inputs = {
        standard_component_specs.STATISTICS_KEY: [statistics(tmp_path / "now", *current)],
        standard_component_specs.BASELINE_STATISTICS_KEY: [statistics(tmp_path / "before", *before)] if before else [],
    }
    parameters = {
        standard_component_specs.DISTRIBUTION_VALIDATOR_CONFIG_KEY: drift_config(drift),
        standard_component_specs.INCLUDE_SPLIT_PAIRS_KEY: "null",
    }
    Executor().Do(inputs, {standard_component_specs.ANOMALIES_KEY: [anomalies]}, parameters)
    return anomalies


def gate(anomalies: standard_artifacts.ExampleAnomalies, action: str, min_rows_ratio: float = 0.0) -> None:
    """Of the anomalies that `validate` has found, and of the statistics beside them."""
    parameters = {"action": action, "min_rows_ratio": min_rows_ratio, "accept_reason": "", "code_fingerprint": "x"}
    inputs = {"anomalies": [anomalies]}
    for key, day in (("statistics", "now"), ("baseline_statistics", "before")):
        found = standard_artifacts.ExampleStatistics()
        found.uri = str(Path(anomalies.uri).parent / day)
        inputs[key] = [found] if Path(found.uri).exists() else []
    DriftGate.EXECUTOR_SPEC.executor_class().Do(inputs, {"verdict": [GateVerdict()]}, parameters)


LABELS = [0] * 90 + [1] * 10
OFTEN = [0] * 50 + [1] * 50


def test_a_turned_mix_stops_the_run_or_only_warns(tmp_path: Path) -> None:
    expected = divergence((0.2, 0.8), (0.8, 0.2))
    assert expected == pytest.approx(0.278, abs=0.001)
    drift = Drift(max_divergence={"country": expected - 0.001, "label": 0.1})
    anomalies = validate(tmp_path, drift, (SECOND, LABELS), (FIRST, LABELS))
    with pytest.raises(GateError, match=r"drifted from the last span let through: country \(eval split\): .*0\.278"):
        gate(anomalies, "stop")
    gate(anomalies, "warn")
    assert [sentence.partition(":")[0] for sentence in drift_found(anomalies.uri)] == [
        "country (eval split)",
        "country (train split)",
    ]


def test_a_turned_label_is_found(tmp_path: Path) -> None:
    drift = Drift(max_divergence={"label": 0.1})
    anomalies = validate(tmp_path, drift, (FIRST, OFTEN), (FIRST, LABELS))
    with pytest.raises(GateError, match=r"label \(train split\)"):
        gate(anomalies, "stop")


def test_drift_within_the_limit_and_a_first_span_pass(tmp_path: Path) -> None:
    drift = Drift(max_divergence={"country": divergence((0.2, 0.8), (0.8, 0.2)) + 0.001})
    gate(validate(tmp_path / "second", drift, (SECOND, LABELS), (FIRST, LABELS)), "stop")
    gate(validate(tmp_path / "first", drift, (SECOND, LABELS), None), "stop")


def test_without_limits_nothing_is_compared(tmp_path: Path) -> None:
    anomalies = validate(tmp_path, Drift(), (SECOND, OFTEN), (FIRST, LABELS))
    assert drift_found(anomalies.uri) == []


@pytest.mark.parametrize("action", ["stop", "warn"])
def test_a_span_with_too_few_of_the_rows_of_the_span_before_stops_the_run(tmp_path: Path, action: str) -> None:
    """Both splits have 9 rows, and had 100: 18 of 200 are less than a tenth."""
    few = (["de"] * 9, [0] * 9)
    with pytest.raises(GateError) as raised:
        gate(validate(tmp_path / "few", Drift(), few, (FIRST, LABELS)), action, 0.1)
    assert str(raised.value) == (
        "a span must have at least 0.1 times the examples of the last span that was let through, "
        f"200 (drift.min_rows_ratio). Received: 18. {RELEASE}"
    )
    gate(validate(tmp_path / "enough", Drift(), (["de"] * 10, [0] * 10), (FIRST, LABELS)), action, 0.1)
    gate(validate(tmp_path / "first", Drift(), few, None), action, 0.1)
