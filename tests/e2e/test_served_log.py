"""A day of served rankings: a pushed model ranks, the store posts what came of it, the next model learns from it."""

from __future__ import annotations

import csv
import datetime
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import yaml

from tests.components.ingestion.served_logs import SOURCES
from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from tests.serving.ranking_client.running import model_server, ranking_service
from tests.serving.serving_log.logs import settings
from transform.files.records import table_rows

pytestmark = pytest.mark.slow

NUM_REQUESTS, NUM_CANDIDATES, NUM_SHOWN = 300, 8, 5

#: Of each request, the item at this position is installed, if the request's number is even.
INSTALLED = 2


class ServedDay(NamedTuple):
    """What was served on a day, and the folder with the data, the config and the workspace.

    Attributes:
      folder: The folder.
      pushed: The version that answered.
      contexts: By request, the context as it was sent.
      installs: The requests and items of the posted installs.
    """

    folder: Path
    pushed: Path
    contexts: dict[str, dict[str, Any]]
    installs: set[tuple[str, str]]


def write_config(path: Path) -> None:
    """Writes the small store's config with the served log as its source; its tables are as they were."""
    config = yaml.safe_load(store.CONFIG.read_text())
    tables = config["sources"]["tables"]
    tables["catalog"]["path"] = "catalog/*.csv"
    installs = {**SOURCES["installs"], "attribution_seconds": 1}
    config["sources"] = {"impressions": SOURCES["impressions"], "installs": installs, "tables": tables}
    config["ingestion"] = {"window_spans": 1}
    path.write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.fixture(scope="module")
def day(first_day: tuple[Path, str], data: Path, tmp_path_factory: pytest.TempPathFactory) -> ServedDay:
    if datetime.datetime.now(datetime.UTC).strftime("%H:%M") >= "23:50":
        pytest.skip("the day would end within the test")
    folder = tmp_path_factory.mktemp("served")
    pushed = first_day[0] / "serving" / store.NAME / "1"
    shutil.copytree(pushed, folder / "models" / store.NAME / "1")
    (folder / "data" / "catalog").mkdir(parents=True)
    shutil.copy(next((data / "catalog" / "day-1").glob("part-*.csv")), folder / "data" / "catalog" / "apps.csv")
    with next((data / "users" / "day-1").glob("part-*.csv")).open() as file:
        users = list(csv.DictReader(file))
    write_config(folder / "served.yaml")
    log = settings(folder / "log")
    options = ["--deadline-seconds", "20", "--log-dir", log.folder, "--log-key", log.key_file]
    contexts: dict[str, dict[str, Any]] = {}
    installs = set()
    with (
        model_server(folder / "models", folder / "server.log", start_seconds=300) as (address, _),
        ranking_service(address, store.NAME, folder / "service.log", *options) as url,
        httpx.Client(timeout=60) as client,
    ):
        draw = np.random.default_rng(1)
        for number in range(NUM_REQUESTS):
            user = users[number % len(users)]
            context = {"country": user["country"], "installed_apps": user["installed_apps"].split("|")}
            items: list[Any] = [f"com.store.app{at}" for at in draw.choice(100, NUM_CANDIDATES, replace=False)]
            if number % 10 == 0:
                items[0] = {"id": "com.store.new", "features": {"rating": 3.7 + number / 1000}}
            answer = client.post(f"{url}/rank", json={"context": context, "candidates": items, "k": NUM_SHOWN}).json()
            request = answer["request_id"]
            contexts[request] = context
            now = time.time()
            events: list[dict[str, Any]] = [
                {"request": request, "item": item["id"], "type": "shown", "time": now, "position": position}
                for position, item in enumerate(answer["items"], 1)
            ]
            if number % 2 == 0:
                installed = answer["items"][INSTALLED - 1]["id"]
                events.append({"request": request, "item": installed, "type": "install", "time": now + 0.1})
                installs.add((request, installed))
            assert client.post(f"{url}/v1/events", json={"events": events}).status_code == 202
    return ServedDay(folder, pushed, contexts, installs)


@pytest.fixture(scope="module")
def exported(day: ServedDay) -> str:
    folder = day.folder
    arguments: list[str | Path] = ["--log", folder / "log", "--model", folder / "models" / store.NAME]
    arguments += ["--log-key", folder / "log.key"]
    return ok_in_process("export-log", day.folder / "served.yaml", *arguments, "--out", day.folder / "data" / "served")


def test_the_log_is_exported_once(day: ServedDay, exported: str) -> None:
    num_events = NUM_REQUESTS * NUM_SHOWN + len(day.installs)
    assert (
        f"2 files read: {NUM_REQUESTS} requests, {NUM_REQUESTS * NUM_CANDIDATES:,} candidates and {num_events:,} events"
    ) in exported
    arguments: list[str | Path] = ["--log", day.folder / "log", "--out", day.folder / "data" / "served"]
    assert ok_in_process("export-log", day.folder / "served.yaml", *arguments) == "nothing is new\n"


def test_it_is_checked_and_learned_from_as_it_was_scored(day: ServedDay, exported: str) -> None:
    config, data, workspace = day.folder / "served.yaml", day.folder / "data", day.folder / "workspace"
    checked = ok_in_process("check", config, "--data", data)
    assert f"impressions: 1 files, the first {NUM_REQUESTS * NUM_SHOWN:,} rows read, all good" in checked
    assert "no table is joined to a log of served rankings" in checked
    ok_in_process("run", config, "--data", data, "--workspace", workspace)
    report = store.last_report(workspace)
    counts = report["counts"]
    assert counts["not_shown"] == NUM_REQUESTS * (NUM_CANDIDATES - NUM_SHOWN)
    assert counts["events"] == {"used": NUM_REQUESTS * NUM_SHOWN + len(day.installs)}
    assert counts["rejected"] == {}
    files = [str(path) for path in workspace.glob("artifacts/example_gen/examples/*/Split-*/*.gz")]
    rows = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    assert len(rows) == NUM_REQUESTS * NUM_SHOWN - counts["unknown_labels"]
    assert 0 < counts["unknown_labels"] < NUM_REQUESTS * NUM_SHOWN / 2
    catalog = dict(table_rows(str(day.pushed / "assets.extra" / "catalog" / "catalog")))
    paths = sorted(str(path) for path in (data / "served").glob("*/impressions-*.parquet"))
    logged = {(row["request_id"], row["item_id"]): row for path in paths for row in pq.read_table(path).to_pylist()}
    scored = []
    for row in rows:
        features = tf.train.Example.FromString(row).features.feature
        request, item = features["request_id"].bytes_list.value[0].decode(), features["app_id"].bytes_list.value[0]
        assert features["label"].int64_list.value[:] == [int((request, item.decode()) in day.installs)]
        context = day.contexts[request]
        assert features["country"].bytes_list.value[:] == [context["country"].encode()]
        assert features["installed_apps"].bytes_list.value[:] == [
            app.encode() for app in context["installed_apps"] if app
        ]
        rating = features["rating"].float_list.value[:]
        if item == b"com.store.new":
            assert rating == [np.float32(3.7 + list(day.contexts).index(request) / 1000)]
        else:
            assert rating == (catalog[item].features.feature["rating"].float_list.value[:] if item in catalog else [])
        scored.append(logged[request, item.decode()]["score"])
    again = tf.saved_model.load(str(day.pushed)).signatures["serving_default"](examples=tf.constant(rows))
    np.testing.assert_allclose(np.ravel(again["scores"]), scored, atol=1e-5)
