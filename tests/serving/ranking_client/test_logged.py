"""The serving log of both clients and of the HTTP service, in front of a model server."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from serving.ranking_client import AsyncRankingClient, ClientSettings, LogSettings, RankingClient, RankingError
from serving.ranking_client.features import Value, encode_example
from serving.ranking_client.ranked import Ranking
from serving.serving_log.folder import close_accounts
from serving.serving_log.log import ServingLog
from serving.serving_log.record import LoggedCandidate, candidates
from serving.serving_log.request_ids import RequestIds
from tests.serving.ranking_client.running import free_port, process, ranking_service, wait_until_up
from tests.serving.ranking_client.tiny_model import CATALOG, DIGEST, score
from tests.serving.serving_log.logs import KEY, records, settings, totals
from tests.soak.serving_log_kills import soak

CONTEXT: dict[str, Value] = {"country": "us", "age": 30, "contry": "typo"}


def rank_sync(client: ClientSettings, log: LogSettings, *requests: tuple[Any, ...], **options: Any) -> list[Ranking]:
    with ServingLog(log) as opened, RankingClient(client, opened) as ranks:
        return [ranks.rank(*request, **options) for request in requests]


def rank_async(client: ClientSettings, log: LogSettings, *requests: tuple[Any, ...], **options: Any) -> list[Ranking]:
    async def run() -> list[Ranking]:
        with ServingLog(log) as opened:
            async with AsyncRankingClient(client, opened) as ranks:
                return [await ranks.rank(*request, **options) for request in requests]

    return asyncio.run(run())


@pytest.mark.parametrize("rank", [rank_sync, rank_async])
@pytest.mark.parametrize("part_size", [None, 1])
def test_a_request_is_logged_as_it_was_sent_and_answered(
    server: str, tmp_path: Path, rank: Any, part_size: int | None
) -> None:
    client = ClientSettings(model="tiny", server=server, deadline_seconds=30, part_size=part_size)
    asked = ["app_1", ("new", {"quality": 2.5}), "app_2"]
    (answer,) = rank(client, settings(tmp_path / "log"), (CONTEXT, asked, 1), user="u1")
    assert [item.item_id for item in answer.items] == ["new"]
    (record,) = records(tmp_path / "log")
    assert record.request_id == answer.request_id
    assert RequestIds([KEY]).are_ours(answer.request_id)
    assert (record.model, record.version, record.user_key, record.num_returned) == ("tiny", 1, "u1", 1)
    assert (record.policy, list(record.propensities), record.catalog_digest) == ("score_order", [], DIGEST)
    assert record.context == encode_example(CONTEXT, "the context", 1_000)
    quality = {"new": 2.5, "app_2": CATALOG["app_2"], "app_1": CATALOG["app_1"]}
    sent = encode_example({"quality": 2.5}, "an item", 1_000)
    found = list(candidates(record))
    assert [(one.item_id, one.rank) for one in found] == [("new", 1), ("app_2", 2), ("app_1", 3)]
    assert [one.features for one in found] == [sent, b"", b""]
    assert [one.score for one in found] == pytest.approx([score(quality[one.item_id], 30) for one in found], abs=1e-6)
    assert struct.pack("<f", found[0].score) == struct.pack("<f", answer.items[0].score)
    # A part of candidates without features of their own is ranked by a signature that knows no features.
    assert [one.in_catalog for one in found] == [False, True, True]


def test_items_by_id_have_no_features_and_a_model_without_a_catalog_says_nothing_of_it(
    server: str, tmp_path: Path
) -> None:
    by_id = ClientSettings(model="tiny", server=server, deadline_seconds=30)
    scored = ClientSettings(model="scorer", server=server, deadline_seconds=30, item_id_feature="app_id")
    rank_sync(by_id, settings(tmp_path / "log"), ({}, ["app_1", "gone"]))
    rank_sync(scored, settings(tmp_path / "log"), ({"age": 1}, [("a", {"quality": 1}), ("b", {"quality": 2})]))
    first, second = records(tmp_path / "log")
    assert (first.signature, list(first.item_features), sorted(first.in_catalog)) == ("rank", [], [False, True])
    assert (second.signature, list(second.in_catalog), second.catalog_digest) == ("serving_default", [], "")
    b, a = candidates(second)
    assert b == LoggedCandidate("b", 1, b.score, 1.0, encode_example({"quality": 2}, "an item", 100), None)
    assert a.item_id == "a"


def test_a_request_that_is_not_answered_is_not_logged(server: str, tmp_path: Path) -> None:
    client = ClientSettings(model="tiny", server=server, deadline_seconds=30)
    with ServingLog(settings(tmp_path / "log")) as log, RankingClient(client, log) as ranks:
        for user, asked in (("u" * 1_001, ["app_1"]), ("\ud800", ["app_1"]), ("", [])):
            with pytest.raises(RankingError):
                ranks.rank({}, asked, user=user)
        with RankingClient(ClientSettings(model="gone", server=server, deadline_seconds=30), log) as other:
            with pytest.raises(RankingError) as caught:
                other.rank({}, ["app_1"])
            assert caught.value.code == grpc.StatusCode.NOT_FOUND
    assert records(tmp_path / "log") == []
    assert totals(tmp_path / "log")["answered"] == 0


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    """The service's options for a log in `tmp_path / "log"`."""
    log = settings(tmp_path / "log")
    return ("--log-dir", log.folder, "--log-key", log.key_file, "--deadline-seconds", "30")


def metrics(url: str) -> Iterator[tuple[str, float]]:
    for line in httpx.get(f"{url}/metrics", timeout=30).text.splitlines():
        if line.startswith("wdr_serving_log"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)


def test_the_service_logs_what_it_answers_and_seals_its_file_when_it_is_ended(
    server: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    body = {"context": {"age": 30}, "candidates": ["app_1", {"id": "new", "features": {"quality": 3}}], "user": "u7"}
    with ranking_service(server, "tiny", tmp_path / "out", *options, "--log-keep-days", "1") as url:
        answers = [httpx.post(f"{url}/rank", json=body, timeout=30).json() for _ in range(3)]
        assert httpx.post(f"{url}/rank", json=body | {"candidates": []}, timeout=30).status_code == 422
        shown = dict(metrics(url))
    assert {name: value for name, value in shown.items() if "written" not in name} == {
        **{
            f'wdr_serving_log_requests_total{{outcome="{outcome}"}}': 0.0
            for outcome in ("not_sampled", "queue_full", "disk", "too_long", "doubled_item", "invalid", "found_lost")
        },
        'wdr_serving_log_requests_total{outcome="removed_requests"}': 0.0,
        "wdr_serving_log_removed_files_total": 0.0,
    }
    assert 0 <= shown['wdr_serving_log_requests_total{outcome="written"}'] <= 3
    found = records(tmp_path / "log")
    assert [record.request_id for record in found] == [answer["request_id"] for answer in answers]
    assert {record.user_key for record in found} == {"u7"}
    assert [[one.item_id for one in candidates(record)] for record in found] == [["new", "app_1"]] * 3
    assert totals(tmp_path / "log")["ended"] == 1


def test_what_a_killed_service_had_answered_is_logged_or_counted_by_the_next_one(
    server: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    port, out = free_port(), tmp_path / "out"
    command = ["-m", "pipeline.cli", "rank-service", "--server", server, "--model", "tiny", "--port", str(port)]
    with process([*command, *options], out) as running:
        wait_until_up(running, f"http://127.0.0.1:{port}/health/live", out)
        body = {"context": {}, "candidates": ["app_1"]}
        answers = [httpx.post(f"http://127.0.0.1:{port}/rank", json=body, timeout=30).json() for _ in range(20)]
        os.kill(running.pid, signal.SIGKILL)
    assert totals(tmp_path / "log")["answered"] == 20
    with ranking_service(server, "tiny", tmp_path / "out", *options):
        pass
    close_accounts(str(tmp_path / "log"))
    found = totals(tmp_path / "log")
    logged = [record.request_id for record in records(tmp_path / "log")]
    assert (found["written"], found["written"] + found["lost"]) == (len(logged), 20)
    assert logged == [answer["request_id"] for answer in answers][: len(logged)]


@pytest.mark.slow
def test_a_service_and_a_client_that_are_killed_lose_nothing_uncounted(server: str, tmp_path: Path) -> None:
    """The campaign's short form."""
    answers, wrong = soak(tmp_path / "log", server, num_requests=2_000, num_kills=2, seed=1)
    assert wrong == []
    assert min(answers.from_service, answers.from_client) > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--log-dir", "{log}"], "the serving log needs `--log-dir` and `--log-key`"),
        (["--log-sample", "0.5"], "the serving log needs `--log-dir` and `--log-key`"),
        (["--log-dir", "{log}", "--log-key", "{short}"], "a log key must have at least 32 characters"),
        (
            ["--log-dir", "{log}", "--log-key", "{gone}"],
            "the serving log needs a folder to write to and a file of keys",
        ),
        (
            ["--log-dir", "{gone}", "--log-key", "{key}"],
            "the serving log needs a folder to write to and a file of keys",
        ),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, given: list[str], message: str) -> None:
    from click.testing import CliRunner

    from pipeline.cli.rank_service import rank_service

    (tmp_path / "log").mkdir()
    (tmp_path / "short").write_text("x")
    (tmp_path / "key").write_bytes(KEY)
    places = {name: tmp_path / name for name in ("log", "short", "gone", "key")}
    result = CliRunner().invoke(rank_service, ["--model", "m", *(word.format(**places) for word in given)])
    assert result.exit_code != 0
    assert message in (result.output + str(result.exception))
