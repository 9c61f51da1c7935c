"""Tests of both clients against a model server in a separate process; expected scores are computed from the formula."""

from __future__ import annotations

import dataclasses
import math
import signal
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.ranking_client.errors import RankingError, RequestError
from serving.ranking_client.features import encode_example
from serving.ranking_client.ranked import Ranking, Summand
from serving.ranking_client.settings import ClientSettings
from tests.serving.ranking_client.asking import Ask, ask_async, ask_sync
from tests.serving.ranking_client.running import Stoppable, forwarded, free_port, model_server
from tests.serving.ranking_client.tiny_model import CATALOG, GAP, deep_logit, export_tiny, score

IDS = list(CATALOG)
BEST = sorted(IDS, key=lambda item_id: -CATALOG[item_id])


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


@pytest.fixture
def settings(server: str) -> ClientSettings:
    return ClientSettings(model="tiny", server=server, deadline_seconds=20.0)


def test_candidates_come_back_best_first(ask: Ask, settings: ClientSettings) -> None:
    (ranking,) = ask(settings, ({"age": 30, "country": "us"}, IDS))
    assert [item.item_id for item in ranking.items] == BEST
    assert [item.score for item in ranking.items] == pytest.approx([score(CATALOG[i], 30) for i in BEST], abs=1e-6)
    assert {item[2:] for item in ranking.items} == {(None, None, True)}
    assert ranking.warnings == ()
    assert (ranking.model, ranking.version, ranking.signature) == ("tiny", 1, "rank")


def test_logits_are_given_when_asked_for(ask: Ask, settings: ClientSettings) -> None:
    ((first, second),) = (r.items for r in ask(settings, ({"age": 30}, ["app_1", "unknown"]), logits=True))
    assert (first.item_id, second.item_id) == ("app_1", "unknown")
    assert first[2:4] == pytest.approx((CATALOG["app_1"], deep_logit(30)), abs=1e-6)
    assert second[2:4] == pytest.approx((0.0, deep_logit(30)), abs=1e-6)


def test_each_item_says_whether_the_catalog_has_it(ask: Ask, settings: ClientSettings) -> None:
    rankings = ask(settings, ({}, ["app_1", "unknown"]), ({}, ["app_1", ("new", {"quality": 9.0})]))
    assert [[(item.item_id, item.in_catalog) for item in r.items] for r in rankings] == [
        [("app_1", True), ("unknown", False)],
        [("new", False), ("app_1", True)],
    ]
    scorer = dataclasses.replace(settings, model="scorer", item_id_feature="app_id")
    (ranking,) = ask(scorer, ({}, [("app_1", {"quality": 1.0})]))  # a model without that output
    assert [item.in_catalog for item in ranking.items] == [None]


def test_explanations_are_of_the_best_k(ask: Ask, settings: ClientSettings) -> None:
    """By part, and the same for items that bring their features, in any order of the candidates."""
    (ranking,) = ask(settings, ({"age": 30}, ["app_1", ("new", {"quality": 9.0}), "app_2"], 2), explain=True)
    assert [item.item_id for item in ranking.items] == ["new", "app_2"]
    for item, found, quality in zip(ranking.items, ranking.explanations, (9.0, CATALOG["app_2"]), strict=True):
        (wide,), (deep,) = found.wide, found.deep
        assert wide.feature == "quality"
        assert float(wide.value) == pytest.approx(quality)
        assert wide.logit == pytest.approx(quality, abs=1e-6)
        assert dataclasses.replace(deep, logit=0.0) == Summand("age", "30", 0.0)
        assert deep.logit == pytest.approx(0.3 - GAP, abs=1e-6)
        assert (found.bias, found.deep_baseline_logit, found.gap) == (0.0, 1.0, GAP)
        assert 1 / (1 + math.exp(-found.logit)) == pytest.approx(item.score, abs=1e-6)
        assert found.base_rate == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)
    (plain,) = ask(settings, ({"age": 30}, ["app_1"]))
    assert plain.explanations == ()


def test_candidates_of_one_id_are_explained_each_by_its_features(ask: Ask, settings: ClientSettings) -> None:
    """The catalog's `app_1`, twice, and two versions of it that bring their features; the third best is cut off."""
    qualities = {"low": CATALOG["app_1"] - 1, "high": CATALOG["app_1"] + 1}
    candidates = ["app_1", ("app_1", {"quality": qualities["low"]}), "app_1", ("app_1", {"quality": qualities["high"]})]
    for used in (settings, dataclasses.replace(settings, part_size=1)):
        for k in (1, 3, 4):
            (ranking,) = ask(used, ({"age": 30}, candidates, k), explain=True)
            expected = [qualities["high"], CATALOG["app_1"], CATALOG["app_1"], qualities["low"]][:k]
            assert [float(one.wide[0].value) for one in ranking.explanations] == pytest.approx(expected)
            for item, found in zip(ranking.items, ranking.explanations, strict=True):
                assert 1 / (1 + math.exp(-found.logit)) == pytest.approx(item.score, abs=1e-6)
    many = [("app_1", {"quality": float(number)}) for number in range(101)]
    with pytest.raises(RequestError, match=r"^at most 100 different candidates with .* Received: 101$"):
        ask(settings, ({}, many, 1), explain=True)


TOO_MANY = "at most 100 candidates can be explained; `k` limits them. Received: 101"
LACKS = (
    "explanations need a model with the signature `explain`, which one exported by an earlier release lacks. "
    "Received: version 1 without it"
)


def test_what_cannot_be_explained_is_one_sentence(ask: Ask, settings: ClientSettings) -> None:
    scorer = dataclasses.replace(settings, model="scorer", item_id_feature="app_id")
    for client, candidates, sentence in (
        (settings, IDS[:101], TOO_MANY),
        (scorer, [("app_1", {"quality": 1.0})], LACKS),
    ):
        with pytest.raises(RequestError) as raised:
            ask(client, ({}, candidates), explain=True)
        assert str(raised.value) == sentence


NO_FEATURE = "the model has no context feature 'contry' and ignores it; version 1 has ['age', 'country']"
SEVERAL = "feature 'country' of the context must have one value; the model reads the first. Received: 2 values"


def test_what_a_model_ignores_is_a_warning_and_by_strict_settings_an_error(ask: Ask, settings: ClientSettings) -> None:
    contexts: list[Any] = [{"age": 30, "contry": "us"}, {"country": ["us", "de"]}, {"country": ["us"], "age": None}]
    rankings = ask(settings, *((context, ["app_1"]) for context in contexts))
    assert [ranking.warnings for ranking in rankings] == [(NO_FEATURE,), (SEVERAL,), ()]
    assert rankings[0].items[0].score == pytest.approx(score(CATALOG["app_1"], 30), abs=1e-6)
    strict = dataclasses.replace(settings, strict=True)
    for context, sentence in zip(contexts[:2], (NO_FEATURE, SEVERAL), strict=True):
        with pytest.raises(RequestError) as raised:
            ask(strict, (context, ["app_1"]))
        assert str(raised.value) == sentence


UNKNOWN = (
    "the value {} of context feature 'country' is not in the vocabulary of version 1; the model takes it for an "
    "unknown one"
)


def test_a_value_of_the_context_that_the_model_does_not_know_is_named_once(ask: Ask, settings: ClientSettings) -> None:
    """Also where the settings are strict: the value may be right. Of a feature ten values are named."""
    contexts: list[Any] = [{"country": "noon"}, {"country": ["noon"]}, {"country": 12}, {"country": "us"}, {}]
    contexts += [{"country": f"n{i}"} for i in range(9)] + [encode_example({"country": "x"}, "the context", 1000)]
    expected = [(UNKNOWN.format("'noon'"),), (), (UNKNOWN.format("12"),), (), ()]
    expected += [(UNKNOWN.format(f"'n{i}'"),) for i in range(7)]
    expected += [(UNKNOWN.format("'n7'") + ". Further ones of this feature are not named",), (), ()]
    for each in (settings, dataclasses.replace(settings, strict=True), dataclasses.replace(settings, part_size=1)):
        rankings = ask(each, *((context, ["app_1", "app_2"]) for context in contexts))
        assert [ranking.warnings for ranking in rankings] == expected
        assert [ranking.unknown_value_warnings for ranking in rankings] == expected


def test_item_features_that_the_model_lacks_are_a_warning_too(ask: Ask, settings: ClientSettings) -> None:
    """Misspelt, or the context's; the item's own are none, nor are those of a serialized tf.Example."""
    rule = "the model has no item feature {!r} and ignores it (version 1)"
    serialized = encode_example({"qualty": 9.0}, "an item", 1000)
    for items, warnings in (
        ([("new", {"quality": 9.0, "app_id": "new"}), "app_1", ("other", serialized)], ()),
        (
            [("new", {"qualty": 9.0}), ("other", {"quality": 1.0, "age": 30})],
            (rule.format("age"), rule.format("qualty")),
        ),
    ):
        (ranking,) = ask(settings, ({"age": 30}, items))
        assert ranking.warnings == warnings
    with pytest.raises(RequestError) as raised:
        ask(dataclasses.replace(settings, strict=True), ({}, [("new", {"qualty": 9.0})]))
    assert str(raised.value) == rule.format("qualty")


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 3, 300, 1000])
def test_the_best_k(ask: Ask, settings: ClientSettings, k: int) -> None:
    (ranking,) = ask(settings, ({}, IDS, k))
    assert [item.item_id for item in ranking.items] == BEST[:k]


def test_the_context_may_be_serialized_and_integers_may_be_categories(ask: Ask, settings: ClientSettings) -> None:
    serialized = encode_example({"age": 50.0}, "the context", 1000)
    rankings = ask(settings, (serialized, ["app_1"]), ({"age": 50, "country": 7}, ["app_1"]))
    for ranking in rankings:
        assert ranking.items[0].score == pytest.approx(score(CATALOG["app_1"], 50), abs=1e-6)


def test_items_newer_than_the_catalog_bring_their_features(ask: Ask, settings: ClientSettings) -> None:
    candidates = ["app_1", ("new", {"quality": 9.0}), ("app_2", {"quality": -1.0})]
    (ranking,) = ask(settings, ({}, candidates))
    assert ranking.signature == "rank_items"
    assert [item.item_id for item in ranking.items] == ["new", "app_1", "app_2"]
    expected = [score(quality, 0) for quality in (9.0, CATALOG["app_1"], -1.0)]
    assert [item.score for item in ranking.items] == pytest.approx(expected, abs=1e-6)


def test_a_model_without_rank_scores_an_example_a_candidate(ask: Ask, settings: ClientSettings) -> None:
    scorer = dataclasses.replace(settings, model="scorer", item_id_feature="app_id")
    candidates = [(item_id, {"quality": CATALOG[item_id]}) for item_id in IDS]
    for used in (scorer, dataclasses.replace(scorer, part_size=70)):
        (ranking,) = ask(used, ({"age": 30}, candidates))
        assert ranking.signature == "serving_default"
        assert [item.item_id for item in ranking.items] == BEST
        assert [i.score for i in ranking.items] == pytest.approx([score(CATALOG[i], 30) for i in BEST], abs=1e-6)
    with pytest.raises(RequestError, match=r"^logits must be asked of a model with the signature `rank`\."):
        ask(scorer, ({"age": 30}, candidates), logits=True)


@pytest.mark.parametrize("hedge", [None, 1e-4])
def test_parts_come_to_the_same_as_one_call(ask: Ask, settings: ClientSettings, hedge: float | None) -> None:
    whole, parts = (
        ask(dataclasses.replace(settings, part_size=size, hedge_after_seconds=hedge), ({"age": 3}, IDS), logits=True)[0]
        for size in (None, 70)
    )
    assert [item.item_id for item in parts.items] == [item.item_id for item in whole.items]
    for part, one in zip(parts.items, whole.items, strict=True):  # the last values of a vector may differ by one bit
        assert part[1:] == pytest.approx(one[1:], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "code", "problem"),
    [
        ({"model": "nobody"}, "NOT_FOUND", "the model server must have the model. Received: NOT_FOUND: "),
        ({"version": 7}, "NOT_FOUND", "the model server must have the model. Received: NOT_FOUND: "),
        ({"label": "canary"}, None, "the model server must "),
    ],
)
def test_what_the_server_does_not_have(
    ask: Ask, settings: ClientSettings, change: dict[str, Any], code: str | None, problem: str
) -> None:
    with pytest.raises(RankingError) as raised:
        ask(dataclasses.replace(settings, **change), ({}, ["a"]))
    assert str(raised.value).startswith(problem)
    assert str(raised.value).endswith(f"({settings.server})")
    assert code is None or raised.value.code.name == code


def test_a_refused_request_is_a_sentence(ask: Ask, settings: ClientSettings) -> None:
    with pytest.raises(RankingError, match=r"^the model server must accept the request\. Received: INVALID_ARGUMENT: "):
        ask(settings, (b"no example", ["a"]))


@pytest.mark.parametrize("part_size", [None, 1])
def test_no_server(ask: Ask, part_size: int | None) -> None:
    server = f"127.0.0.1:{free_port()}"
    settings = ClientSettings(model="tiny", server=server, part_size=part_size, deadline_seconds=20.0)
    start = time.monotonic()
    with pytest.raises(RankingError) as raised:
        ask(settings, ({}, ["a", "b"]))
    assert raised.value.code == grpc.StatusCode.UNAVAILABLE
    assert str(raised.value).startswith("the model server must be reachable. Received: UNAVAILABLE: ")
    assert time.monotonic() - start < 10


def test_a_server_that_comes_in_time_is_found(ask: Ask, server: str) -> None:
    port = free_port()
    settings = ClientSettings(
        model="tiny", server=f"127.0.0.1:{port}", deadline_seconds=60.0, max_attempts=10, backoff_seconds=0.1
    )
    rankings: list[Ranking] = []
    asking = threading.Thread(target=lambda: rankings.extend(ask(settings, ({}, ["app_1"]))))
    asking.start()
    asking.join(0.2)
    assert asking.is_alive()
    with forwarded(port, server):
        asking.join(60)
    assert [ranking.items[0].item_id for ranking in rankings] == ["app_1"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        pytest.param({"part_size": 100}, marks=pytest.mark.slow),
        pytest.param({"hedge_after_seconds": 0.05}, marks=pytest.mark.slow),
    ],
)
def test_one_budget_for_everything(ask: Ask, stoppable: list[Stoppable], change: dict[str, Any]) -> None:
    """A server that has stopped delays a request no longer than the budget, however often it is asked."""
    (server, running), _ = stoppable
    settings = ClientSettings(model="tiny", server=server, deadline_seconds=2.0, **change)
    stopped_at: list[float] = []

    def stop() -> None:
        running.send_signal(signal.SIGSTOP)
        stopped_at.append(time.monotonic())

    with pytest.raises(RankingError) as raised:
        ask(settings, ({}, IDS), stop, ({}, IDS))
    # UNAVAILABLE if the connection to the dead server was closed before, and no copy was left to be sent.
    assert raised.value.code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    assert 1 <= time.monotonic() - stopped_at[0] < 5.5  # three attempts, of a budget each, would take 6 s


@pytest.mark.parametrize("part_size", [None, pytest.param(100, marks=pytest.mark.slow)])
def test_a_further_copy_goes_round_a_server_that_stands_still(
    ask: Ask, stoppable: list[Stoppable], part_size: int | None
) -> None:
    (first, running), (second, _) = stoppable
    settings = ClientSettings(
        model="tiny",
        server=f"ipv4:{first},{second}",
        deadline_seconds=30.0,
        part_size=part_size,
        hedge_after_seconds=0.2,
    )
    requests = [({"age": 30}, IDS)] * 6
    rankings = ask(settings, *requests, lambda: running.send_signal(signal.SIGSTOP), *requests)
    assert all([item.item_id for item in ranking.items] == BEST for ranking in rankings)
    assert len(rankings) == 12


@pytest.mark.parametrize("ask", [pytest.param(ask_sync, marks=pytest.mark.slow), ask_async], ids=["sync", "async"])
def test_a_new_version_answers_without_a_failed_request(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    export_tiny(folder)
    with model_server(tmp_path / "models", tmp_path / "log") as (server, _):
        settings = ClientSettings(model="tiny", server=server, part_size=100, deadline_seconds=20.0)
        exporting = threading.Thread(target=export_tiny, args=(folder, 2))
        versions: list[int] = []

        def check(ranking: Ranking) -> None:
            versions.append(ranking.version)
            expected = [score(CATALOG[i], 30, ranking.version) for i in BEST]
            assert [item.score for item in ranking.items] == pytest.approx(expected, abs=1e-6)

        exporting.start()
        end = time.monotonic() + 300
        while (not versions or versions[-1] < 2) and time.monotonic() < end:
            for ranking in ask(settings, *[({"age": 30}, IDS)] * 10):
                check(ranking)
        exporting.join()
    assert versions[0] == 1
    assert versions[-1] == 2
    assert versions == sorted(versions)
