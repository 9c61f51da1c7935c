"""Tests of a ranking's steps: which calls they make, and what they return for answers given by the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from grpc import StatusCode
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from serving.ranking_client.errors import RankingError, RequestError
from serving.ranking_client.messages import string_tensor
from serving.ranking_client.settings import ClientSettings
from serving.ranking_client.steps import RankingSteps
from transform.signature_names import (
    ITEM_IDS,
    RANK_ITEMS_SIGNATURE,
    RANK_SIGNATURE,
    SCORES_OUTPUT,
    SERVING_SIGNATURE,
)


def metadata(version: int, *names: str) -> get_model_metadata_pb2.GetModelMetadataResponse:
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.version.value = version
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name in names:
        signatures.signature_def[name].method_name = "tensorflow/serving/predict"
    response.metadata["signature_def"].Pack(signatures)
    return response


def answer(version: int, ids: Sequence[str], scores: Sequence[float]) -> predict_pb2.PredictResponse:
    response = predict_pb2.PredictResponse()
    response.model_spec.version.value = version
    response.outputs[ITEM_IDS].MergeFromString(
        string_tensor([i.encode() for i in ids], [1, len(ids)]).SerializeToString()
    )
    response.outputs[SCORES_OUTPUT].dtype = types_pb2.DT_FLOAT
    response.outputs[SCORES_OUTPUT].float_val.extend(scores)
    return response


def started(settings: ClientSettings, candidates: Sequence[Any], names: Sequence[str] = (RANK_SIGNATURE,)) -> Any:
    """Starts the steps and answers with the signatures of version 1; returns the steps and their next calls."""
    steps = RankingSteps(settings).rank({}, candidates, None, False)
    (call,) = next(steps)
    assert call.method == "GetModelMetadata"
    return steps, steps.send([metadata(1, *names)])


def result(steps: Any, answers: Sequence[Any]) -> Any:
    with pytest.raises(StopIteration) as stopped:
        steps.send(list(answers))
    return stopped.value.value


def test_parts_are_merged_by_score() -> None:
    steps, calls = started(ClientSettings(model="m", part_size=2), ["a", "b", "c", "d"])
    assert [list(call.request.inputs[ITEM_IDS].string_val) for call in calls] == [[b"a", b"b"], [b"c", b"d"]]
    ranking = result(steps, [answer(1, ["b", "a"], [0.875, 0.5]), answer(1, ["c", "d"], [0.75, 0.25])])
    assert [item[:2] for item in ranking.items] == [("b", 0.875), ("c", 0.75), ("a", 0.5), ("d", 0.25)]
    assert ranking.version == 1


def test_a_part_of_an_older_version_is_asked_again_of_the_newer() -> None:
    steps, _ = started(ClientSettings(model="m", part_size=1), ["a", "b", "c"])
    old = [answer(1, ["a"], [0.1]), answer(2, ["b"], [0.2]), answer(1, ["c"], [0.3])]
    again = steps.send(old)
    assert [call.request.model_spec.version.value for call in again] == [2, 2]
    assert [list(call.request.inputs[ITEM_IDS].string_val) for call in again] == [[b"a"], [b"c"]]
    ranking = result(steps, [answer(2, ["a"], [0.5]), answer(2, ["c"], [0.0])])
    assert [item.item_id for item in ranking.items] == ["a", "b", "c"]
    assert ranking.version == 2


def test_candidates_are_asked_in_one_call_if_no_server_has_the_newer_version_for_a_part() -> None:
    steps, _ = started(ClientSettings(model="m", part_size=1), ["a", "b"])
    (again,) = steps.send([answer(1, ["a"], [0.1]), answer(2, ["b"], [0.2])])
    assert again.is_pinned
    (whole,) = steps.throw(RankingError(StatusCode.NOT_FOUND, "no version 2"))
    assert not whole.is_pinned
    assert not whole.request.model_spec.HasField("version")
    assert list(whole.request.inputs[ITEM_IDS].string_val) == [b"a", b"b"]
    ranking = result(steps, [answer(1, ["b", "a"], [0.75, 0.5])])
    assert [item[:2] for item in ranking.items] == [("b", 0.75), ("a", 0.5)]
    assert ranking.version == 1


def test_candidates_that_are_too_long_for_one_call_are_not_found() -> None:
    steps, _ = started(ClientSettings(model="m", part_size=1, max_request_bytes=150), ["a" * 50, "b" * 50])
    steps.send([answer(1, ["a" * 50], [0.1]), answer(2, ["b" * 50], [0.2])])
    (call,) = steps.throw(RankingError(StatusCode.NOT_FOUND, "no version 2"))
    assert call.method == "GetModelMetadata"
    with pytest.raises(RankingError, match=r"^no version 2$"):
        steps.send([metadata(1, RANK_SIGNATURE)])


def test_signatures_are_asked_once_until_another_version_answers() -> None:
    shared = RankingSteps(ClientSettings(model="m"))

    def methods(version: int) -> list[str]:
        """The methods that one ranking calls while this version serves."""
        called: list[str] = []
        steps = shared.rank({}, ["a"], None, False)
        calls = next(steps)
        while True:
            called.append(calls[0].method)
            answers = [answer(version, ["a"], [0.5]) if calls[0].method == "Predict" else metadata(version, "rank")]
            try:
                calls = steps.send(answers)
            except StopIteration:
                return called

    assert methods(1) == ["GetModelMetadata", "Predict"]
    assert methods(1) == ["Predict"]
    assert methods(2) == ["Predict"]
    assert methods(2) == ["GetModelMetadata", "Predict"]
    # While two servers answer in turn, each with one of the versions, the signatures are not asked for again.
    assert [methods(version) for version in (1, 2, 1)] == [["Predict"]] * 3


def with_outputs(version: int, signature: str, *outputs: str) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The metadata of a version whose only signature has these outputs."""
    response = metadata(version)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for output in outputs:
        signatures.signature_def[signature].outputs[output].dtype = types_pb2.DT_STRING
    response.metadata["signature_def"].Pack(signatures)
    return response


FEWER, MORE = [RANK_SIGNATURE, "in_catalog"], [RANK_SIGNATURE, "in_catalog", "unknown_context"]
OTHER = [RANK_ITEMS_SIGNATURE, "in_catalog", "unknown_context"]


@pytest.mark.parametrize(
    ("served", "answering", "expected"),
    [
        # While servers swap an earlier release's model for a new one, a call may reach either.
        ({1: FEWER, 2: MORE}, [1, 2, 2, 1, 2], [FEWER] * 5),
        ({2: MORE}, [2], [MORE]),
        # The answer of a new version is the first sign of it, and the next request asks for its signatures.
        ({1: FEWER, 2: MORE, 3: MORE}, [1, 2, 2, 3, 3, 3], [FEWER] * 4 + [MORE] * 2),
        ({1: MORE, 2: FEWER}, [1, 2, 2], [MORE, MORE, FEWER]),
        # A version without the signature says nothing of the signature's outputs.
        ({1: OTHER, 2: MORE}, [1, 2, 2, 2], [OTHER, OTHER, MORE, MORE]),
    ],
)
def test_an_output_is_asked_for_if_the_current_version_and_the_one_before_it_have_it(
    served: dict[int, list[str]], answering: list[int], expected: list[list[str]]
) -> None:
    shared = RankingSteps(ClientSettings(model="m", item_id_feature="app_id"))

    def asked(version: int, candidate: Any) -> list[str]:
        """The signature and the further outputs that one ranking asks for while this version answers."""
        steps = shared.rank({}, [candidate], None, False)
        (call,) = next(steps)
        if call.method == "GetModelMetadata":
            (call,) = steps.send([with_outputs(version, *served[version])])
        result(steps, [answer(version, ["a"], [0.5])])
        return [call.request.model_spec.signature_name, *call.request.output_filter[2:]]

    candidates = ["a" if signature == RANK_SIGNATURE else ("a", {"price": 1.0}) for signature, *_ in expected]
    assert [asked(*each) for each in zip(answering, candidates, strict=True)] == expected


def test_a_signature_that_went_with_the_old_version_is_looked_for_again() -> None:
    steps, _ = started(ClientSettings(model="m", item_id_feature="app_id"), [("a", {"price": 1.0})], ["rank_items"])
    (call,) = steps.throw(RankingError(StatusCode.FAILED_PRECONDITION, "no such signature"))
    assert call.method == "GetModelMetadata"
    (call,) = steps.send([metadata(2, SERVING_SIGNATURE)])
    assert call.request.model_spec.signature_name == SERVING_SIGNATURE


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.INTERNAL])
def test_no_other_failure_is_looked_into(code: StatusCode) -> None:
    steps, _ = started(ClientSettings(model="m"), ["a"])
    with pytest.raises(RankingError, match=r"^gone$"):
        steps.throw(RankingError(code, "gone"))


def test_the_server_s_refusal_stands_if_the_model_is_the_same() -> None:
    steps, _ = started(ClientSettings(model="m"), ["a"])
    steps.throw(RankingError(StatusCode.INVALID_ARGUMENT, "bad"))
    with pytest.raises(RankingError, match=r"^bad$"):
        steps.send([metadata(1, RANK_SIGNATURE)])


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (answer(1, ["a"], [0.5]), "`scores` must have a value a candidate, 2. Received: 1"),
        (answer(1, ["a"], [0.5, 0.4]), "`item_ids` must have a value a candidate, 2. Received: 1"),
        (answer(1, ["a", "b"], [0.5, float("nan")]), "scores must be numbers. Received: nan"),
        (predict_pb2.PredictResponse(), "an answer must have the output `scores`. Received: []"),
    ],
)
def test_a_wrong_answer_is_not_taken(response: predict_pb2.PredictResponse, problem: str) -> None:
    steps, _ = started(ClientSettings(model="m"), ["a", "b"])
    with pytest.raises(RankingError) as raised:
        steps.send([response])
    assert str(raised.value) == problem
    assert raised.value.code == StatusCode.INTERNAL


def test_requests_that_are_not_sent() -> None:
    without_rank = [SERVING_SIGNATURE]
    with pytest.raises(RequestError, match=r"^a model without the signature `rank` needs the item features of every"):
        started(ClientSettings(model="m"), ["a"], without_rank)
    some_given: list[Any] = ["a", ("b", {"x": 1.0})]
    for signatures in (without_rank, [SERVING_SIGNATURE, RANK_ITEMS_SIGNATURE]):
        with pytest.raises(
            RequestError, match=r"^a model without the signature `rank` needs .* Received: none for 1 of"
        ):
            started(ClientSettings(model="m"), some_given, signatures)
    with pytest.raises(
        RequestError, match=r"^a model without the signature `rank_items` needs .* Received: none for 1"
    ):
        started(ClientSettings(model="m"), some_given, [RANK_SIGNATURE])
    with pytest.raises(RequestError, match=r"^a call must have at most 20 bytes\. Received: \d+ for 1 candidates$"):
        started(ClientSettings(model="m", max_request_bytes=20), ["a"])
    with pytest.raises(RequestError, match=r"^k must be at least 1\. Received: 0$"):
        next(RankingSteps(ClientSettings(model="m")).rank({}, ["a"], 0, False))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_a_time(seconds: float) -> None:
    steps = RankingSteps(ClientSettings(model="m", deadline_seconds=0.5))
    assert steps.budget(None) == 0.5
    assert steps.budget(2.0) == 2.0
    with pytest.raises(RequestError, match=r"^deadline_seconds must be above 0 and finite\. Received: "):
        steps.budget(seconds)
