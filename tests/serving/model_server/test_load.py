"""Tests of a server with more requests than it can compute at once: deadlines, the queue's limits, and batching."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from tests.serving.model_server.requests import refusal, request
from tests.serving.model_server.running import Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, x_request

#: Steps of the signature `slow` that take about a second, so that other requests must wait.
LONG = 300


def slow(steps: int = LONG) -> object:
    return request("slow", steps=np.int32(steps))


def gauge(server: Server, name: str) -> int:
    line = next(line for line in server.rest.get("/metrics").text.splitlines() if line.startswith(f"{name} "))
    return int(float(line.split()[1]))


def fill(server: Server) -> tuple[grpc.Future, list[grpc.Future]]:
    """Sends a slow request that is computed, and two that wait for it.

    The two are sent once the first has left the queue, in which it would take one of their places.
    """
    gauges = ("wdr_waiting_requests", "wdr_running_requests")
    wait_for(lambda: not any(gauge(server, name) for name in gauges), "a server at rest")
    at_work = server.predictions.Predict.future(slow())
    wait_for(lambda: gauge(server, "wdr_running_requests") == 1, "a request at work")
    in_queue = [server.predictions.Predict.future(slow()) for _ in range(2)]
    wait_for(lambda: gauge(server, "wdr_waiting_requests") == 2, "a full queue")
    return at_work, in_queue


@pytest.fixture(scope="module")
def narrow(models: Path) -> Iterator[Server]:
    """A server with one thread, and a queue for two requests."""
    with running("--models", models, "--threads", "1", "--max-waiting", "2") as server:
        server.predictions.Predict(slow(1))
        yield server


def assert_idle_after(server: Server, at_work: grpc.Future) -> None:
    """Asserts that the slow requests that waited behind `at_work` are not computed after it.

    If they were, the next request would wait for them, at least as long as a slow request alone takes.
    """
    at_work.result()
    started = time.monotonic()
    server.predictions.Predict(x_request([1.0]))
    answered = time.monotonic()
    server.predictions.Predict(slow())
    assert answered - started < time.monotonic() - answered


def test_a_request_past_its_deadline_is_not_computed(narrow: Server) -> None:
    at_work = narrow.predictions.Predict.future(slow())
    late = narrow.predictions.Predict.future(slow(), timeout=0.2)  # while the first waits too, two would not fit
    assert late.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert_idle_after(narrow, at_work)


def test_a_request_that_brings_no_time_is_refused_at_once(narrow: Server) -> None:
    code, _ = refusal(narrow.predictions.Predict, slow(), timeout=0)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_request_past_the_queue_s_bound_is_refused(narrow: Server) -> None:
    at_work, in_queue = fill(narrow)
    expected = "the queue is full: 2 requests wait already; try again later"
    assert refusal(narrow.predictions.Predict, x_request([1.0])) == (grpc.StatusCode.RESOURCE_EXHAUSTED, expected)
    assert ["corner" in call.result().outputs for call in (at_work, *in_queue)] == [True] * 3


def test_who_fills_the_queue_makes_room_for_another_connection(narrow: Server) -> None:
    """The newest waiting request is refused to make room for the first request of another connection."""
    at_work, (older, newest) = fill(narrow)
    over_rest = narrow.rest.post(f"/v1/models/{MODEL}:predict", content='{"instances": [1.0]}')
    assert over_rest.json() == {"predictions": [3.5]}
    expected = "the queue is full: 2 requests wait already; try again later"
    assert (newest.exception().code(), newest.exception().details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, expected)
    assert ["corner" in call.result().outputs for call in (at_work, older)] == [True] * 2
    narrow.predictions.Predict(slow(1))


def test_over_rest_a_full_queue_is_429(narrow: Server) -> None:
    """Three connections share two places: no other has more than the third, so the third is refused."""
    at_work = narrow.predictions.Predict.future(slow())
    wait_for(lambda: gauge(narrow, "wdr_running_requests") == 1, "a request at work")
    with ThreadPoolExecutor(3) as pool:
        body = '{"signature_name": "slow", "inputs": 1}'
        url = f"http://localhost:{narrow.rest_port}/v1/models/{MODEL}:predict"
        answers = list(pool.map(lambda _: httpx.post(url, content=body, timeout=60), range(3)))
    at_work.result()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
    (refused,) = (answer.json() for answer in answers if answer.status_code == 429)
    assert refused == {"error": "the queue is full: 2 requests wait already; try again later"}


def test_a_client_that_goes_makes_room(narrow: Server) -> None:
    at_work, in_queue = fill(narrow)
    for call in in_queue:
        call.cancel()
    assert_idle_after(narrow, at_work)


@pytest.fixture(scope="module")
def batching(models: Path) -> Iterator[Server]:
    with running("--models", models, "--threads", "1", "--max-batch", "8") as server:
        server.predictions.Predict(slow(1))
        yield server


def test_requests_that_wait_together_get_their_own_answers(batching: Server) -> None:
    """Requests with mixed rows, signatures and shapes; some of them can be computed as one."""
    at_work = batching.predictions.Predict.future(slow())
    sent = [x_request([float(row) for row in range(number, number + number % 4)]) for number in range(1, 30)]
    sent[4].output_filter.append("y")
    calls = [batching.predictions.Predict.future(each) for each in sent]
    named = request("named", tag=[b"a", b"b"], signal=np.array([[1], [2]]), sensor=np.array([[[3]], [[4]]]))
    other = request("named", tag=[b"c"], signal=np.array([[5]]), sensor=np.array([[[6]]]))
    wide = request("named", tag=[b"d"], signal=np.array([[7, 8]]), sensor=np.array([[[9]]]))
    named_calls = [batching.predictions.Predict.future(each) for each in (named, other, wide)]
    alone = batching.predictions.Predict.future(request("sizes", x=np.array([1, 2], np.float32)))
    assert not any(call.done() for call in calls)
    for number, call in enumerate(calls, 1):
        expected = [row / 2 + 3 for row in range(number, number + number % 4)]
        output = call.result().outputs["y"]
        assert list(output.float_val) == expected
        assert [dim.size for dim in output.tensor_shape.dim] == [len(expected)]
    totals = [
        (list(c.result().outputs["total"].int64_val), list(c.result().outputs["tag"].string_val)) for c in named_calls
    ]
    assert totals == [([4, 6], [b"A", b"B"]), ([11], [b"C"]), ([24], [b"D"])]
    assert alone.result().outputs["mean"].float_val[0] == 1.5
    at_work.result()


def test_one_bad_request_does_not_spoil_those_it_waits_with(batching: Server) -> None:
    at_work = batching.predictions.Predict.future(slow())
    serialized = b"\xff\xff no example"
    good = [batching.predictions.Predict.future(request("classify_objects", inputs=[_object()])) for _ in range(2)]
    bad = batching.predictions.Predict.future(request("classify_objects", inputs=[serialized]))
    assert bad.exception().code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [list(call.result().outputs["classes"].string_val) for call in good] == [[b"sea"], [b"sea"]]
    at_work.result()


def test_bytes_of_a_wrong_number_change_no_other_request_s_answer(batching: Server) -> None:
    """Requests of two elements each, with 4, 8 and 12 bytes: merged, they would have the bytes of six elements."""
    at_work = batching.predictions.Predict.future(slow())
    sent = []
    for values in ([1.0], [2.0, 4.0], [6.0, 8.0, 10.0]):
        each = x_request([0.0, 0.0])
        each.inputs["x"].ClearField("float_val")
        each.inputs["x"].tensor_content = np.array(values, np.float32).tobytes()
        sent.append(each)
    few, right, many = [batching.predictions.Predict.future(each) for each in sent]
    assert not right.done()
    assert list(right.result().outputs["y"].float_val) == [4.0, 5.0]
    for call, received in ((few, 4), (many, 12)):
        assert call.exception().code() is grpc.StatusCode.INVALID_ARGUMENT
        assert call.exception().details() == f"a tensor of 2 elements must have 8 bytes. Received: {received}"
    at_work.result()


def _object() -> bytes:
    import tensorflow as tf

    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = tf.train.Features(feature={"image": feature(b"123"), "caption": feature(b"sea")})
    return bytes(tf.train.Example(features=features).SerializeToString())


def test_many_clients_at_once(server: Server) -> None:
    def ask(number: int) -> list[float]:
        return list(server.predictions.Predict(x_request([float(number)])).outputs["y"].float_val)

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(ask, range(500))) == [[number / 2 + 3] for number in range(500)]
