"""StatisticsGen's executor writes the statistics that TFX's writes, and the gate judges both alike."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components.statistics_gen.executor import Executor as StockExecutor
from tfx.types import Artifact

from components.artifacts import ESTIMATED, UNCOUNTED
from components.data_validation.gates import anomalies_found
from components.statistics import computing
from components.statistics.component import ColumnStatisticsExecutor
from tests.components.statistics.statistics_runs import Row, by_feature, computed, example, leaves, read, run
from tests.components.transform_executor.random_examples import random_examples
from tests.components.transform_executor.transform_runs import examples
from transform.config.config_file import load_config
from transform.errors import InputError
from transform.schema import schema_text

SPLITS = ("train", "eval", "none", "store")

CONFIG = load_config(Path(__file__).parents[3] / "configs" / "app_store.yaml")

#: Few enough that the sketches of both are exact, and one batch of Beam's.
NUM_ROWS = 600

#: Schemas that the rows conform to, or break in one way each.
SCHEMAS = {
    "all features, without a rule": "",
    "type": 'feature { name: "country" type: INT }',
    "presence": 'feature { name: "sometimes" type: FLOAT presence { min_fraction: 0.9 } }',
    "presence that is reached": 'feature { name: "sometimes" type: FLOAT presence { min_fraction: 0.5 } }',
    "shape": 'feature { name: "tags" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }',
    "number of values": 'feature { name: "tags" type: BYTES value_count { min: 1 max: 2 } }',
    "domain of numbers": 'feature { name: "label" type: INT int_domain { min: 0 max: 0 } }',
    "float domain": 'feature { name: "odd" type: FLOAT float_domain { min: 0 disallow_nan: true disallow_inf: true } }',
    "domain of texts": 'feature { name: "country" type: BYTES string_domain { value: "us" } }',
    "the shipped config's": schema_text(CONFIG),
    "missing column": 'feature { name: "absent" type: BYTES presence { min_count: 1 } }',
}


def rows(number: int, seed: int) -> list[Row]:
    """Returns rows with all that is hard: values missing, lists, no value at all, other bytes than UTF-8, NaN."""
    draw = random.Random(seed)
    found: list[Row] = []
    for i in range(number):
        row: dict[str, Any] = {
            "label": [int(draw.random() < 0.3)],
            "negative": [draw.choice([-(2**63), -1, 0, 2**63 - 1])],
            "country": [draw.choice([b"us", b"de", "日本".encode()])],
            "id": [b"id-%d" % i],
            "tags": [draw.choice([b"new", b"free", b"", b"a" * 200]) for _ in range(draw.randrange(4))],
            "bytes": [draw.choice([b"\xff\xfe", b"ok", b"\x00"])],
            "sometimes": [draw.random()] if draw.random() < 0.6 else None,
            "odd": [draw.choice([math.nan, math.inf, -math.inf, -1.5, 0.0, 2.5])],
            "never": [math.nan],
            "floats": [draw.gauss(0, 100) for _ in range(draw.randrange(1, 4))],
            "one": [7.5],
            "empty": None,
        }
        found.append(row if i % 7 else {name: row[name] for name in ("label", "country")})
    return found


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    train, of_eval = ([example(row) for row in rows(number, number)] for number in (NUM_ROWS, 50))
    files: dict[str, list[Iterable[bytes]]] = {"train": [train[:500], train[500:]], "eval": [of_eval], "none": [[]]}
    files["store"] = [list(random_examples(CONFIG, span=1, number=300, seed=0))]
    return examples(tmp_path_factory.mktemp("examples") / "1", 1, files)


@pytest.fixture(scope="module")
def both(raw: Artifact, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    folder = tmp_path_factory.mktemp("statistics")
    return run(ColumnStatisticsExecutor, raw, folder / "ours"), run(StockExecutor, raw, folder / "theirs")


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_the_statistics_are_those_of_tfx(both: tuple[Artifact, Artifact], split: str) -> None:
    ours, theirs = (read(statistics, split) for statistics in both)
    assert_alike(ours, theirs)


@pytest.mark.slow
def test_ids_are_not_counted(both: tuple[Artifact, Artifact]) -> None:
    (dataset,) = read(both[0], "store").datasets
    found = {feature.path.step[0]: feature for feature in dataset.features}
    assert found.keys() >= computing.NOT_COUNTED
    for name in computing.NOT_COUNTED:
        strings = found[name].string_stats
        assert (strings.unique, len(strings.top_values)) == (0, 0)
        assert strings.common_stats.num_non_missing > 0


@pytest.mark.slow
@pytest.mark.parametrize("num_bytes", [1, 2_000, 1 << 25])
def test_batches_are_joined_without_changing_the_statistics(
    raw: Artifact, both: tuple[Artifact, Artifact], num_bytes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(computing, "_JOINED_BYTES", num_bytes)
    files = sorted(Path(raw.uri, "Split-train").iterdir())
    assert_alike(computed(files, tmp_path / "states"), read(both[1], "train"))


def assert_alike(
    found: statistics_pb2.DatasetFeatureStatisticsList, expected: statistics_pb2.DatasetFeatureStatisticsList
) -> None:
    ours, theirs = by_feature(found), by_feature(expected)
    assert list(ours) == sorted(theirs, key=lambda name: (name == "", name))
    for name in ours.keys() & computing.NOT_COUNTED:
        assert ours[name].pop("customStats") == [{"name": UNCOUNTED, "num": 1.0}]
        for field in ("unique", "topValues", "rankHistogram"):
            del theirs[name]["stringStats"][field]
    for name, of_feature in theirs.items():
        values, wanted = leaves(ours[name]), leaves(of_feature)
        assert values.keys() == wanted.keys(), name
        for path, value in wanted.items():
            is_count = isinstance(value, str)  # as are infinite numbers and NaN
            assert values[path] == (value if is_count else pytest.approx(value, rel=1e-9)), (name, path)


@pytest.mark.slow
def test_the_artifacts_are_alike(both: tuple[Artifact, Artifact]) -> None:
    ours, theirs = both
    assert (ours.split_names, ours.span) == (theirs.split_names, theirs.span)
    assert {p.relative_to(ours.uri) for p in Path(ours.uri).rglob("*.pb")} == {
        p.relative_to(theirs.uri) for p in Path(theirs.uri).rglob("*.pb")
    }


@pytest.mark.slow
@pytest.mark.parametrize("rule", SCHEMAS)
def test_the_gate_judges_both_alike(both: tuple[Artifact, Artifact], rule: str) -> None:
    schema = text_format.Parse(SCHEMAS[rule], schema_pb2.Schema())
    for split in SPLITS:
        ours, theirs = (
            anomalies_found(tfdv.validate_statistics(read(statistics, split), schema), split) for statistics in both
        )
        assert ours == theirs
        assert theirs or split == "none" or rule == "the shipped config's"  # others lack the split's other features


def test_estimates_are_marked(raw: Artifact, tmp_path: Path) -> None:
    """Of `id`, with 600 values less those of every seventh row, 100 are counted; `country` has three, all counted."""
    files = sorted(Path(raw.uri, "Split-train").iterdir())
    (dataset,) = computed(files, tmp_path / "states", max_values=100).datasets
    found = {feature.path.step[0]: feature for feature in dataset.features}
    marks = {name: [stat.name for stat in found[name].custom_stats] for name in ("id", "country")}
    assert marks == {"id": [ESTIMATED], "country": []}
    assert found["id"].string_stats.unique == pytest.approx(NUM_ROWS * 6 / 7, rel=0.02)
    assert found["country"].string_stats.unique == 3


def test_a_split_without_a_file_is_refused(tmp_path: Path) -> None:
    """Statistics of no example would pass for those of an empty split, and be taken from the cache ever after."""
    raw = examples(tmp_path / "examples", 1, {"train": [[example({"label": [1]})]], "eval": []})
    with pytest.raises(InputError, match=r"a split of examples must have a file. Received: none in .*/Split-eval"):
        run(ColumnStatisticsExecutor, raw, tmp_path / "statistics")


def test_the_name_of_a_folder_is_no_pattern(tmp_path: Path) -> None:
    raw = examples(tmp_path / "[eu]", 1, {"train": [[example({"label": [1]})] * 3]})
    statistics = run(ColumnStatisticsExecutor, raw, tmp_path / "statistics")
    assert read(statistics, "train").datasets[0].num_examples == 3
