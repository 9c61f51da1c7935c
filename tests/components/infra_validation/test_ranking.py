"""Models whose `rank` differs from `serving_default`: detected with production's requests and the run's catalog."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.core.protobuf import saved_model_pb2  # TensorFlow 2.21.0 has no public name for it

from components.infra_validation.ranked import ranking_requests
from tests.components.infra_validation.validating import examples_artifact, on_threads, validate
from tests.e2e.damage import change_variables
from tests.trainer.rank_export.items_store import APPS, FEATURES, IN_CATALOG, Store, Values, store_config
from tests.trainer.small_deployment import Row, Span, to_example, transform_span
from trainer.rank_export.catalog import read_items
from trainer.rank_export.encoders import WIDE, Encoders
from trainer.signatures import export_model
from trainer.trainer_predictions import trainer_predictions
from trainer.training.setup import prepare
from transform.config.config import Config
from transform.config.infra_validation import InfraValidation
from transform.files.trainer_predictions import write_trainer_predictions

NAMES = ["country", "installed", "age", "app", "tags", "price", "rating"]
CONFIG = store_config(NAMES)
#: The config of the model whose latency is compared; what it is besides slow does not matter.
SMALL = store_config(["country", "app", "price"])
#: The app whose catalog values `next_day` changes.
CHANGED = "app3"
#: No bound of the memory: on a thread, it is that of this process. No bound of the latency but the ratio, by which the
#: slow model is refused: on a busy machine it may exceed both.
SETTINGS = InfraValidation(
    num_requests=10, num_measurements=10, max_latency_ms=None, max_latency_ratio=4.0, max_memory_mb=None
)
#: The good model, and the one that is measured in comparison with it; the others' scores are wrong.
IN_PROCESSES = ("good", "slow rank")
BY_CATALOG = (
    "`{}` must score items by the model's catalog as `serving_default` scores whole examples made from the run's"
)

#: By the defect: the beginnings of the sentences about it.
PROBLEMS = {
    "negated catalog": [BY_CATALOG.format(name) for name in ("rank", "rank_named", "rank_items")],
    "catalog of yesterday": [BY_CATALOG.format(name) for name in ("rank", "rank_named", "rank_items")],
    "damaged catalog": [
        "every value of the model's variables must be finite. Received: others in ranker/catalog/first_sum"
    ],
    "slow rank": ["the median time for 200 candidates must be at most 4 times the baseline's. Received: "],
    "no rank": ["the model must have the signature 'rank'. Received: ["],
}


def write_catalog(folder: Path, tables: Mapping[str, Mapping[str, Values]]) -> Path:
    """Writes a catalog snapshot in ingestion's layout."""
    for name in ("catalog", "ratings"):
        (folder / name).mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / name / "data_tfrecord.gz"), "GZIP") as writer:
            for key, row in tables[name].items():
                writer.write(to_example({**row, "table_key": [key]}))
    return folder


def next_day(tables: Mapping[str, Mapping[str, Values]]) -> dict[str, Mapping[str, Values]]:
    """Returns the tables after the price and the tags of one app changed."""
    (price,) = tables["catalog"][CHANGED]["price"]
    after: Values = {"price": [10 - price], "tags": ["game", "free", "new", "kids"]}
    return {**tables, "catalog": {**tables["catalog"], CHANGED: after}}


@dataclasses.dataclass
class Made:
    """A model with random weights, its catalog, and the log; whether it is exported with its explanations."""

    config: Config
    span: Span
    tables: Mapping[str, Mapping[str, Values]]
    folder: Path
    window: list[Any]
    explains: bool = True

    def __post_init__(self) -> None:
        self.output = tft.TFTransformOutput(self.span.transform_output)
        self.prepared = prepare(self.config, self.output, [self.span.train_files], [self.span.eval_files], None)
        draw = np.random.default_rng(5)
        for variable in self.prepared.model.trainable_variables:
            variable.assign(draw.normal(scale=0.3, size=variable.shape))
        self.items = read_items(self.config, str(self.catalog("today", self.tables)))
        files = f"{self.window[0].uri}/Split-eval/*"
        self.own_scores = trainer_predictions(self.prepared, self.output, [files], self.config.skew.num_rows)

    def catalog(self, day: str, tables: Mapping[str, Mapping[str, Values]]) -> Path:
        """Returns the folder of a day's catalog snapshot, written at the first call."""
        folder = self.folder / f"catalog of {day}"
        return folder if folder.is_dir() else write_catalog(folder, tables)

    def export(self, kind: str) -> Path:
        """Exports the model in the trainer's layout, with the items of the tables."""
        uri, prepared = self.folder / kind, self.prepared
        model_dir, state = str(uri / "Format-Serving"), prepared.transform_state if self.explains else None
        export_model(prepared.model, self.output, self.config, model_dir, self.items, prepared.counts, state)
        write_trainer_predictions(self.own_scores, str(uri))
        return uri


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, rng = tmp_path_factory.mktemp("made"), random.Random(3)
    store = Store(seed=1)
    store.tables["catalog"][CHANGED]["price"] = [2.5]
    empty: Row = {name: [] for name in FEATURES}
    rows = []
    for number in range(300):
        app = rng.choice(APPS)
        row = empty | store.context() | store.features_of(app) | {"app": [app], "request_id": [str(number)]}
        rows.append(row | {"label": [rng.randint(0, 1)]})
    span = transform_span(CONFIG, rows, rows[:60], folder)
    window = [
        examples_artifact(
            folder / "raw",
            train=[],
            eval=[
                to_example(row | {"span": [0], "fold": [i % 8]})
                for i, row in enumerate(rows[:60])  # the rows of the transformed evaluation split
            ],
        )
    ]
    return Made(CONFIG, span, store.tables, folder, window)


@pytest.fixture(scope="module")
def small(made: Made) -> Made:
    folder = made.folder / "small"
    folder.mkdir()
    return dataclasses.replace(made, config=SMALL, folder=folder, explains=False)


def changed_catalog(value: float) -> Any:
    """Returns a function that multiplies the catalog's sums: floats with a row for each item and an unknown one."""

    def change(name: str, values: np.ndarray) -> np.ndarray:
        is_sum = values.dtype == np.float32 and values.shape[:1] == (len(IN_CATALOG) + 1,)
        return values * np.float32(value) if name.startswith("ranker/") and is_sum else values

    return change


def remove_signature(saved_model: Path, name: str) -> None:
    """Removes a signature from a SavedModel's graph and from the objects that are loaded with it."""
    file = saved_model / "saved_model.pb"
    graph = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    (meta_graph,) = graph.meta_graphs
    del meta_graph.signature_def[name]
    nodes = meta_graph.object_graph_def.nodes
    (of_signatures,) = [child.node_id for child in nodes[0].children if child.local_name == "signatures"]
    children = nodes[of_signatures].children
    (at,) = [i for i, child in enumerate(children) if child.local_name == name]
    del children[at]
    file.write_bytes(graph.SerializeToString())


@pytest.fixture(scope="module")
def models(made: Made, small: Made) -> dict[str, Path]:
    """The models by defect; `good` has none. Most are copies of it: an export takes 11 s of CPU time."""
    good = made.export("good")
    found = {"good": good, "catalog of yesterday": good}
    for kind in ("negated catalog", "damaged catalog", "no rank"):
        found[kind] = Path(shutil.copytree(good, made.folder / kind))
    change_variables(found["negated catalog"] / "Format-Serving", changed_catalog(-1))
    change_variables(found["damaged catalog"] / "Format-Serving", changed_catalog(float("nan")))
    remove_signature(found["no rank"] / "Format-Serving", "rank")
    combine = Encoders.combine

    def slow(self: Encoders, *rest: Any) -> dict[str, Any]:
        rows = combine(self, *rest)
        start = tf.ones([200, 200]) * rows[WIDE][0]
        worked = tf.while_loop(lambda i, _: i < 100, lambda i, y: [i + 1, tf.tanh(y @ start)], [0, start])
        return rows | {WIDE: rows[WIDE] + 0.0 * worked[1][0, 0]}

    found["quick rank"] = small.export("quick rank")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoders, "combine", slow)
        found["slow rank"] = small.export("slow rank")
    return found


@pytest.fixture(scope="module")
def verdicts(made: Made, models: dict[str, Path]) -> Iterator[dict[str, dict[str, Any]]]:
    catalogs = {
        "today": made.catalog("today", made.tables),
        "tomorrow": made.catalog("tomorrow", next_day(made.tables)),
    }

    def verdict_on(kind: str) -> dict[str, Any]:
        # The model's catalog is of the day before the run's.
        catalog = catalogs["tomorrow" if kind == "catalog of yesterday" else "today"]
        config, baseline = (SMALL, models["quick rank"]) if kind == "slow rank" else (CONFIG, None)
        out = made.folder / f"{kind} blessing"
        return validate(SETTINGS, models[kind], made.window, out, baseline, config=config, catalog_folder=catalog)

    with ThreadPoolExecutor(2) as pool:
        running = {kind: pool.submit(verdict_on, kind) for kind in IN_PROCESSES}
        found = {kind: future.result() for kind, future in running.items()}
    with on_threads():
        yield found | {kind: verdict_on(kind) for kind in PROBLEMS.keys() - {*IN_PROCESSES}}


@pytest.mark.slow
def test_a_model_that_ranks_by_the_catalog_of_its_run_is_blessed(verdicts: dict[str, dict[str, Any]]) -> None:
    verdict = verdicts["good"]
    assert (verdict["problems"], verdict["blessed"]) == ([], 1)
    assert verdict["candidate"]["signature"] == "rank"
    assert verdict["num_catalog_items"] == len(IN_CATALOG)
    assert [*verdict["catalog_skew"]] == ["rank", "rank_named", "rank_items"]
    for skew in verdict["catalog_skew"].values():
        # 10 requests and one without a context, each with 10 items, the logged, an unknown, a repeated, an empty one.
        assert (skew["num_rows"], skew["num_different"]) == (11 * 14, 0)
        assert skew["largest_difference"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_model_that_ranks_otherwise_is_refused(verdicts: dict[str, dict[str, Any]], kind: str) -> None:
    verdict = verdicts[kind]
    assert verdict["blessed"] == 0
    assert len(verdict["problems"]) == len(PROBLEMS[kind])
    for problem, start in zip(verdict["problems"], PROBLEMS[kind], strict=True):
        assert problem.startswith(start)


@pytest.mark.slow
def test_one_changed_item_is_found_and_shown(verdicts: dict[str, dict[str, Any]]) -> None:
    skew = verdicts["catalog of yesterday"]["catalog_skew"]["rank"]
    assert skew["num_different"] >= 11
    assert f"for the item '{CHANGED}' of " in skew["problem"]
    assert "price [7.5]" in skew["problem"]


def config_of(tables: list[str]) -> Config:
    return store_config(["country", "app", *(["price"] if "catalog" in tables else [])])


def test_requests_have_every_item_and_the_rows_are_made_from_the_catalog(tmp_path: Path) -> None:
    tables = {"catalog": {f"app{i}": {"price": [float(i)]} for i in range(100)}, "ratings": {}}
    # The log's price must be ignored, and one impression is of an app that is not in the catalog.
    logged = [to_example({"country": ["de"], "app": ["app7"], "price": [99.0]}), to_example({"app": ["gone"]})]
    requests = ranking_requests(config_of(["catalog"]), str(write_catalog(tmp_path, tables)), logged)

    # 100 items in 3 requests, the third without a context: 40 each, and four more candidate items.
    assert (len(requests.contexts), requests.num_items, requests.num_candidates) == (3, 100, 44)
    assert {item_id for item_id in requests.item_ids if item_id.startswith(b"app")} == {
        f"app{i}".encode() for i in range(100)
    }
    contexts = [read(context) for context in requests.contexts]
    assert contexts == [{"country": ["de"]}, {}, {}]
    first = [item_id.decode() for item_id in requests.item_ids[:44]]
    assert first[40:] == ["app7", "\x00unknown", first[0], ""]
    assert requests.item_ids[44 + 40] == b"gone"
    assert requests.item_ids[88 + 40] == b""
    for i, (item_id, row, item) in enumerate(zip(requests.item_ids, requests.rows, requests.items, strict=True)):
        name = item_id.decode()
        price = {"price": [float(name[3:])]} if name.startswith("app") else {}
        assert read(item) == {"app": [name], **price}
        assert read(row) == contexts[i // 44] | {"app": [name], **price}


def test_of_a_config_without_a_table_the_logged_items_are_ranked(tmp_path: Path) -> None:
    requests = ranking_requests(config_of([]), str(tmp_path), [to_example({"country": ["de"], "app": ["a"]})])
    assert requests.item_ids == [b"a", b"\x00unknown", b"a", b"", b"", b"\x00unknown", b"", b""]
    assert requests.num_items == 0


def read(serialized: bytes) -> Values:
    found: Values = {}
    for name, feature in tf.train.Example.FromString(serialized).features.feature.items():
        values = list(getattr(feature, feature.WhichOneof("kind")).value)
        found[name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return found
