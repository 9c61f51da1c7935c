"""Exploration in both clients and in the HTTP service: the answer, the log, the counters."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from pipeline.cli.rank_service import rank_service
from serving.ranking_client import AsyncRankingClient, ClientSettings, Exploration, RankingClient
from serving.ranking_client.ranked import Ranking
from serving.serving_log.log import ServingLog
from serving.serving_log.record import candidates
from tests.serving.ranking_client.running import ranking_service
from tests.serving.ranking_client.tiny_model import CATALOG
from tests.serving.serving_log.logs import records, settings
from transform.errors import InputError

ASKED = [f"app_{i}" for i in range(20)]
BEST = sorted(ASKED, key=lambda item: -CATALOG[item])


def client_settings(server: str) -> ClientSettings:
    return ClientSettings(model="tiny", server=server, deadline_seconds=30)


async def rank_async(client: ClientSettings, log: ServingLog, policy: Exploration, k: int | None) -> Ranking:
    async with AsyncRankingClient(client, log, policy) as ranks:
        return await ranks.rank({}, ASKED, k, explain=True)


def rank_sync(client: ClientSettings, log: ServingLog, policy: Exploration, k: int | None) -> Ranking:
    with RankingClient(client, log, policy) as ranks:
        return ranks.rank({}, ASKED, k, explain=True)


@pytest.mark.parametrize("k", [None, 4])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_client_returns_and_logs_the_order_shown(server: str, tmp_path: Path, k: int | None, is_async: bool) -> None:
    """With epsilon 1 one pair of neighbours is swapped: of 10 places, or of the k that are returned."""
    policy = Exploration("swap", 1.0, 1.0)
    client = client_settings(server)
    with ServingLog(settings(tmp_path / "log")) as log:
        answers = [
            asyncio.run(rank_async(client, log, policy, k)) if is_async else rank_sync(client, log, policy, k)
            for _ in range(3)
        ]
    num_shown = k or 10
    for answer, record in zip(answers, records(tmp_path / "log"), strict=True):
        found = list(candidates(record))
        order = [one.item_id for one in found]
        moved = [place for place, (item, best) in enumerate(zip(order, BEST, strict=True)) if item != best]
        first, second = moved
        assert second == first + 1 < num_shown
        assert (order[first], order[second]) == (BEST[second], BEST[first])
        assert [item.item_id for item in answer.items] == order[:k]
        for item, explanation in zip(answer.items, answer.explanations, strict=True):
            assert explanation.wide[0].logit == pytest.approx(CATALOG[item.item_id], abs=1e-6)
        assert (record.policy, record.num_returned, record.request_id) == ("swap", k or 20, answer.request_id)
        pair = 1 / (num_shown - 1)
        for place, one in enumerate(found):
            inner = 1 - 2 * pair if 0 < place < num_shown - 1 else 1 - pair
            expected = pair if place in moved else inner if place < num_shown else 1
            assert one.propensity == pytest.approx(expected, abs=1e-6), place
        again = policy.arrange(sorted((one.score for one in found), reverse=True), record.request_id, k)
        assert [BEST[index] for index in again.order] == order


def test_a_client_without_a_log_does_not_explore(server: str) -> None:
    with pytest.raises(InputError, match="exploration needs a serving log"):
        RankingClient(client_settings(server), None, Exploration("swap", 0.1))


def metrics(url: str) -> dict[str, float]:
    lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    names = ("wdr_rank_service_explored", "wdr_rank_service_expected", "wdr_rank_service_lost")
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith(names)}


def test_the_service_explores_and_counts_what_it_costs(server: str, tmp_path: Path) -> None:
    """Expected installs are the discounted scores of the three places; those lost are what the orders shown lack."""
    log = settings(tmp_path / "log")
    options = ["--log-dir", log.folder, "--log-key", log.key_file, "--deadline-seconds", "30"]
    options += ["--explore", "shuffle", "--epsilon", "0.5", "--max-loss", "1", "--discounts", "1,0.5,0.25"]
    asked: dict[str, Any] = {"context": {}, "candidates": ASKED[:6], "k": 4}
    with ranking_service(server, "tiny", tmp_path / "out", *options) as url:
        answers = [httpx.post(f"{url}/rank", json=asked, timeout=30).json() for _ in range(30)]
        counted = metrics(url)
    best = sorted(ASKED[:6], key=lambda item: -CATALOG[item])
    score = {item["id"]: item["score"] for item in answers[0]["items"]}
    lost, orders = 0.0, set()
    worth = [0.0, 0.0]
    for answer, record in zip(answers, records(tmp_path / "log"), strict=True):
        order = [item["id"] for item in answer["items"]]
        assert record.request_id == answer["request_id"]
        assert [one.item_id for one in candidates(record)] == [*order, *best[4:]]
        assert (sorted(order[:3]), order[3]) == (sorted(best[:3]), best[3])
        stays = [place for place in range(3) if order[place] == best[place]]
        for place, one in enumerate(candidates(record)):
            expected = 1 if place > 2 else 0.5 + 0.5 / 3 if place in stays else 0.5 / 3
            assert one.propensity == pytest.approx(expected, abs=1e-6)
        worth = [sum(d * score[i] for d, i in zip((1, 0.5, 0.25), items, strict=False)) for items in (best, order)]
        lost += worth[0] - worth[1]
        orders.add(tuple(order))
    assert len(orders) > 1
    assert counted["wdr_rank_service_expected_installs_total"] == pytest.approx(30 * worth[0], abs=1e-4)
    assert counted["wdr_rank_service_lost_installs_total"] == pytest.approx(lost, abs=1e-4)
    outcomes = {name: counted[f'wdr_rank_service_explored_requests_total{{outcome="{name}"}}'] for name in (
        "explored", "score_order"
    )}  # fmt: skip
    assert sum(outcomes.values()) == 30
    assert outcomes["explored"] >= len(orders) - 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--explore", "swap"], "`--explore` needs the serving log"),
        (["--epsilon", "0.1"], "go with `--explore` only"),
        (["--explore", "swap", "--discounts", "1,x"], "--discounts must be comma-separated numbers. Received: '1,x'"),
        (["--explore", "swap", "--discounts", "0.5,1"], "discounts must be 2 numbers in (0, 1], none above the one"),
    ],
)
def test_wrong_options_are_refused(given: list[str], message: str) -> None:
    result = CliRunner().invoke(rank_service, ["--model", "m", *given])
    assert result.exit_code != 0
    assert message in result.output + str(result.exception)
