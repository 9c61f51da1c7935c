"""Tests of a server with more requests than it can compute at once: deadlines, the queue's limits, and batching."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.serving.model_server.requests import Hold, refusal, request
from tests.serving.model_server.running import PATIENCE_SECONDS, Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, x_request

#: The time limit of a request without a deadline: longer than any test holds one.
LONG = ("--timeout-seconds", "600")


def busy(server: Server, hold: Hold) -> grpc.Future:
    """Sends a request that is computed until `hold` is released; others must wait for the only thread."""
    for state in ("waiting", "running"):
        server.wait_for_requests(state, 0)
    at_work = server.predictions.Predict.future(hold.request())
    server.wait_for_requests("running", 1)
    return at_work


def fill(server: Server, hold: Hold) -> tuple[grpc.Future, list[grpc.Future]]:
    """Sends a request that is computed until `hold` is released, and two that wait for it.

    The two are sent once the first has left the queue, in which it would take one of their places.
    """
    at_work = busy(server, hold)
    in_queue = []
    for number in (1, 2):
        in_queue.append(server.predictions.Predict.future(hold.request()))
        server.wait_for_requests("waiting", number)  # so that they arrive in this order
    return at_work, in_queue


@pytest.fixture(scope="module")
def narrow(models: Path) -> Iterator[Server]:
    """A server with one thread, and a queue for two requests."""
    with running("--models", models, "--threads", "1", "--max-waiting", "2", *LONG) as server:
        yield server


@pytest.fixture
def never(tmp_path: Path) -> Iterator[Hold]:
    """Holds requests that are not to be computed: one that is would keep the only thread to the end of the test."""
    never = Hold(tmp_path / "never")
    yield never
    never.release()


def test_a_request_past_its_deadline_is_not_computed(narrow: Server, hold: Hold, never: Hold) -> None:
    at_work = busy(narrow, hold)
    late = narrow.predictions.Predict.future(never.request(), timeout=2)
    narrow.wait_for_requests("waiting", 1)
    assert late.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    hold.release()
    at_work.result()
    assert narrow.predictions.Predict(x_request([1.0]), timeout=PATIENCE_SECONDS).outputs["y"].float_val == [3.5]


def test_a_request_that_brings_no_time_is_refused_at_once(narrow: Server, never: Hold) -> None:
    code, _ = refusal(narrow.predictions.Predict, never.request(), timeout=0)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_request_past_the_queue_s_bound_is_refused(narrow: Server, hold: Hold) -> None:
    at_work, in_queue = fill(narrow, hold)
    expected = "the queue is full: 2 requests wait already; try again later"
    assert refusal(narrow.predictions.Predict, x_request([1.0])) == (grpc.StatusCode.RESOURCE_EXHAUSTED, expected)
    hold.release()
    assert ["checks" in call.result().outputs for call in (at_work, *in_queue)] == [True] * 3


def test_who_fills_the_queue_makes_room_for_another_connection(narrow: Server, hold: Hold) -> None:
    """The newest waiting request is refused to make room for the first request of another connection."""
    at_work, (older, newest) = fill(narrow, hold)
    url = f"http://localhost:{narrow.rest_port}/v1/models/{MODEL}:predict"
    with ThreadPoolExecutor(1) as pool:
        over_rest = pool.submit(httpx.post, url, content='{"instances": [1.0]}', timeout=PATIENCE_SECONDS)
        expected = "the queue is full: 2 requests wait already; try again later"
        refused = newest.exception(timeout=PATIENCE_SECONDS)
        assert (refused.code(), refused.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, expected)
        hold.release()
        assert over_rest.result().json() == {"predictions": [3.5]}
    assert ["checks" in call.result().outputs for call in (at_work, older)] == [True] * 2


def test_a_waiting_request_s_work_is_its_bytes_too(narrow: Server, hold: Hold) -> None:
    """Two rows of a million bytes are as much work as 2,000,000 / 400 rows; the bytes of sizes are 8."""
    at_work = busy(narrow, hold)
    images = narrow.predictions.Predict.future(request("images", image_bytes=np.array([b"x" * 1_000_000] * 2, object)))
    narrow.wait_for_requests("waiting", 1)
    assert "wdr_waiting_elements 5000.0" in narrow.rest.get("/metrics").text.splitlines()
    hold.release()
    assert list(images.result().outputs["length"].int_val) == [1_000_000] * 2
    at_work.result()


def test_long_lists_leave_a_thread_to_other_clients(models: Path, hold: Hold) -> None:
    """Two clients send a string of 410,000 bytes each, the work of 1,025 candidates, to a server with two threads."""
    own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
    with running("--models", models, "--threads", "2", *LONG) as server, contextlib.ExitStack() as clients:
        lists = []
        for _ in range(2):
            channel = clients.enter_context(grpc.insecure_channel(f"localhost:{server.grpc_port}", own))
            predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            lists.append(predictions.Predict.future(hold.request(410_000)))
        wait_for(lambda: server.num_requests("running") + server.num_requests("waiting") == 2, "both lists")
        assert server.predictions.Predict(x_request([1.0]), timeout=60).outputs["y"].float_val == [3.5]
        assert (server.num_requests("running"), server.num_requests("waiting")) == (1, 1)
        hold.release()
        assert ["checks" in call.result().outputs for call in lists] == [True] * 2


def test_over_rest_a_full_queue_is_429(narrow: Server, hold: Hold) -> None:
    """Three connections share two places: no other has more than the third, so the third is refused."""
    at_work = busy(narrow, hold)
    with ThreadPoolExecutor(3) as pool:
        body = '{"instances": [1.0]}'
        url = f"http://localhost:{narrow.rest_port}/v1/models/{MODEL}:predict"
        sent = [pool.submit(httpx.post, url, content=body, timeout=PATIENCE_SECONDS) for _ in range(3)]
        wait(sent, PATIENCE_SECONDS, FIRST_COMPLETED)  # the refusal: the others wait behind `at_work`
        hold.release()
        answers = [each.result() for each in sent]
    at_work.result()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
    (refused,) = (answer.json() for answer in answers if answer.status_code == 429)
    assert refused == {"error": "the queue is full: 2 requests wait already; try again later"}


def num_cancelled(server: Server) -> float:
    """How many requests the server knows to be cancelled."""
    lines = server.rest.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("wdr_requests_") and "CANCELLED" in line)


def test_what_a_client_cancels_is_not_computed(narrow: Server, hold: Hold, never: Hold) -> None:
    at_work = busy(narrow, hold)
    before = num_cancelled(narrow)
    in_queue = [narrow.predictions.Predict.future(never.request()) for _ in range(2)]
    narrow.wait_for_requests("waiting", 2)
    for call in in_queue:
        call.cancel()
    wait_for(lambda: num_cancelled(narrow) == before + 2, "both cancellations")
    in_their_place = narrow.predictions.Predict.future(x_request([3.0]))
    narrow.wait_for_requests("waiting", 1)
    hold.release()
    at_work.result()
    assert in_their_place.result(timeout=PATIENCE_SECONDS).outputs["y"].float_val == [4.5]


@pytest.fixture(scope="module")
def batching(models: Path) -> Iterator[Server]:
    with running("--models", models, "--threads", "1", "--max-batch", "8", *LONG) as server:
        yield server


def test_requests_that_wait_together_get_their_own_answers(batching: Server, hold: Hold) -> None:
    """Requests with mixed rows, signatures and shapes; some of them can be computed as one."""
    at_work = busy(batching, hold)
    sent = [x_request([float(row) for row in range(number, number + number % 4)]) for number in range(1, 30)]
    sent[4].output_filter.append("y")
    calls = [batching.predictions.Predict.future(each) for each in sent]
    named = request("named", tag=[b"a", b"b"], signal=np.array([[1], [2]]), sensor=np.array([[[3]], [[4]]]))
    other = request("named", tag=[b"c"], signal=np.array([[5]]), sensor=np.array([[[6]]]))
    wide = request("named", tag=[b"d"], signal=np.array([[7, 8]]), sensor=np.array([[[9]]]))
    named_calls = [batching.predictions.Predict.future(each) for each in (named, other, wide)]
    alone = batching.predictions.Predict.future(request("sizes", x=np.array([1, 2], np.float32)))
    batching.wait_for_requests("waiting", len(calls) + len(named_calls) + 1)
    hold.release()
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


def test_one_bad_request_does_not_spoil_those_it_waits_with(batching: Server, hold: Hold) -> None:
    at_work = busy(batching, hold)
    serialized = b"\xff\xff no example"
    good = [batching.predictions.Predict.future(request("classify_objects", inputs=[_object()])) for _ in range(2)]
    bad = batching.predictions.Predict.future(request("classify_objects", inputs=[serialized]))
    batching.wait_for_requests("waiting", 3)
    hold.release()
    assert bad.exception().code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [list(call.result().outputs["classes"].string_val) for call in good] == [[b"sea"], [b"sea"]]
    at_work.result()


def test_bytes_of_a_wrong_number_change_no_other_request_s_answer(batching: Server, hold: Hold) -> None:
    """Requests of two elements each, with 4, 8 and 12 bytes: merged, they would have the bytes of six elements."""
    at_work = busy(batching, hold)
    sent = []
    for values in ([1.0], [2.0, 4.0], [6.0, 8.0, 10.0]):
        each = x_request([0.0, 0.0])
        each.inputs["x"].ClearField("float_val")
        each.inputs["x"].tensor_content = np.array(values, np.float32).tobytes()
        sent.append(each)
    few, right, many = [batching.predictions.Predict.future(each) for each in sent]
    batching.wait_for_requests("waiting", 3)
    hold.release()
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
