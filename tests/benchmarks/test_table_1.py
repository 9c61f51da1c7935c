"""Table 1: which models are trained, and what is printed about them."""

from __future__ import annotations

import io

from rich.console import Console

from benchmarks.table_1 import Trained, show, variants
from tests.trainer.small_deployment import make_config
from tests.trainer.trained_model import COUNTS


def test_features_are_the_deep_part_s_alone_and_crosses_and_counts_the_wide_part_s() -> None:
    config = make_config(count_encodings=COUNTS)
    trained = variants(config)
    assert list(trained) == ["wide", "deep", "wide & deep", "configs/small.yaml"]
    assert trained["configs/small.yaml"] == config
    for row, parts in {"wide": "wide", "deep": "deep", "wide & deep": "wide_and_deep"}.items():
        assert trained[row].model.parts == parts
        assert {feature.parts for feature in trained[row].spec.features} == {("deep",)}
        assert {count.parts for count in trained[row].spec.count_encodings} == {("wide",)}
        assert trained[row].spec.crosses == config.spec.crosses


def test_the_joint_model_is_held_against_either_part() -> None:
    aucs = {
        "wide": (0.7752, 0.7758),
        "deep": (0.63, 0.64),
        "wide & deep": (0.777, 0.7778),
        "configs/x.yaml": (0.5, 0.6),
    }
    console = Console(file=io.StringIO(), width=120)
    show(console, "x", {row: [Trained(auc, 0.3, 10.0) for auc in values] for row, values in aucs.items()})
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    # 0.7774 - 0.7755 and 0.7774 - 0.635; the spreads are 0.0006, 0.01 and 0.0008
    assert "wide & deep is +0.0019 above wide; the seeds of either differ by up to 0.0008" in printed
    assert "wide & deep is +0.1424 above deep; the seeds of either differ by up to 0.0100" in printed
