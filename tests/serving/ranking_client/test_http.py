"""Tests of the HTTP service in a separate process, in front of a model server."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.ranking_client.running import free_port, ranking_service
from tests.serving.ranking_client.tiny_model import CATALOG, deep_logit, score

MAX_BODY_BYTES = 200_000


@pytest.fixture(scope="module")
def service(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log"
    options = ("--max-body-bytes", str(MAX_BODY_BYTES), "--deadline-seconds", "20")
    with ranking_service(server, "tiny", log, *options) as url:
        yield url


@pytest.mark.slow
def test_schemathesis_finds_nothing(service: str, tmp_path: Path) -> None:
    """In hundreds of valid and invalid requests, no server error and nothing that contradicts the OpenAPI page."""
    # 413 refuses an invalid request, too; schemathesis does not expect it by default.
    config = '[checks]\nnegative_data_rejection.expected-statuses = ["400", "413", "422"]\n'
    (tmp_path / "schemathesis.toml").write_text(config)
    options = ["--checks", "all", "--max-examples", "100", "--seed", "1", "--no-color", "--wait-for-schema", "10"]
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{service}/openapi.json", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"Tested: 3\b", run.stdout), run.stdout


def rank(service: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{service}/rank", json=body, timeout=30)


def test_a_ranking(service: str) -> None:
    new = {"id": "new", "features": {"quality": 9}}
    response = rank(service, context={"age": 30, "country": 7}, candidates=["app_1", "app_2", new], k=2, logits=True)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["model"], answer["version"]) == ("tiny", 1)
    assert [item["id"] for item in answer["items"]] == ["new", "app_2"]
    for item, quality in zip(answer["items"], (9.0, CATALOG["app_2"]), strict=True):
        assert item["score"] == pytest.approx(score(quality, 30), abs=1e-6)
        assert item["wide_logit"] == pytest.approx(quality, abs=1e-6)
        assert item["deep_logit"] == pytest.approx(deep_logit(30), abs=1e-6)
    plain = rank(service, context={}, candidates=["app_1"]).json()
    assert set(plain) == {"model", "version", "items"}
    assert set(plain["items"][0]) == {"id", "score", "in_catalog"}


def test_what_the_model_ignores_or_does_not_know_is_in_the_answer_and_counted(service: str) -> None:
    def counters() -> list[float]:
        page = httpx.get(f"{service}/metrics", timeout=30).text
        names = ("wdr_rankings_with_warnings_total", "wdr_ranked_items_not_in_catalog_total")
        return [float(line.split()[1]) for line in page.splitlines() if line.startswith(names)]

    before = counters()
    context = {"contry": "us", "country": "noon"}
    answer = rank(service, context=context, candidates=["app_1", "gone", {"id": "new"}]).json()
    assert answer["warnings"] == [
        "the model has no context feature 'contry' and ignores it; version 1 has ['age', 'country']",
        "the value 'noon' of context feature 'country' is not in the vocabulary of version 1; the model takes it for "
        "an unknown one",
    ]
    assert {item["id"]: item["in_catalog"] for item in answer["items"]} == {"app_1": True, "gone": False, "new": False}
    assert [now - then for now, then in zip(counters(), before, strict=True)] == [1, 2]
    unknown = rank(service, context={"country": "midnight"}, candidates=["app_1"]).json()
    assert [len(unknown["warnings"]), *counters()] == [1, before[0] + 1, before[1] + 2]


def body_of(context: str = "{}", candidates: str = '["a"]', rest: str = "") -> bytes:
    return f'{{"context": {context}, "candidates": {candidates}{rest}}}'.encode()


A_FEATURE = "a feature must be a text, a number within float32's range, a list of either, or null. Received: "
A_CANDIDATE = 'a candidate must be an item id, or an object with "id" and "features". Received: '


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"", 422, "body: Field required. Received: None"),
        (b"{", 400, "the body must be JSON: "),
        (b"\xff\xfe", 400, "the body must be JSON: "),
        (b"[" * 100_000, 400, "the body must be JSON: "),
        (body_of('{"\\ud800": 1}'), 400, "the name of a feature of the context must be a text that UTF-8 has. "),
        (body_of(rest=', "\\ud800": 1'), 422, "body: Input should be a valid string, unable to parse raw data as"),
        (body_of(json.dumps({"x" * 100_000: {}})), 422, f"body.context.{'x' * 100}: {A_FEATURE}"),
        (body_of(json.dumps({"f": "x" * 100_000})), 422, f"body.context.f: {A_FEATURE}'xxx"),
        (b"[]", 422, "body: Input should be a valid dictionary or object to extract fields from. Received: []"),
        (body_of(candidates="[]"), 422, "body.candidates: List should have at least 1 item after validation, not 0."),
        (body_of(candidates="[5]"), 422, f"body.candidates.0: {A_CANDIDATE}5"),
        (body_of(candidates=json.dumps([0] * 60_000)), 422, f"body.candidates.0: {A_CANDIDATE}0"),
        (body_of(candidates='["\\ud800"]'), 422, f"body.candidates.0: {A_CANDIDATE}'\\ud800'"),
        (body_of(candidates='["a", {"ID": "b"}]'), 422, f"body.candidates.1: {A_CANDIDATE}"),
        (body_of('{"f": NaN}'), 422, f"body.context.f: {A_FEATURE}nan"),
        (body_of('{"f": 1e400}'), 422, f"body.context.f: {A_FEATURE}inf"),
        (body_of('{"f": true}'), 422, f"body.context.f: {A_FEATURE}True"),
        (
            body_of(json.dumps(dict.fromkeys(map(str, range(1001)), 1))),
            422,
            "body.context: Dictionary should have at most 1000 items after validation, not 1001. Received: {'0': 1",
        ),
        (
            body_of(rest="".join(f', "x{i}": 0' for i in range(100))),
            422,
            "body: Object should have at most 100 items after validation, not 102. Received: {'context': {}",
        ),
        (body_of('{"f": {"g": 1}}'), 422, f"body.context.f: {A_FEATURE}"),
        (body_of('{"f": 1e39}'), 422, f"body.context.f: {A_FEATURE}1e+39"),
        (body_of('{"f": [1, "x"]}'), 422, f"body.context.f: {A_FEATURE}[1, 'x']"),
        (body_of(rest=', "logits": 1'), 422, "body.logits: Input should be a valid boolean. Received: 1"),
        (body_of('{"age": "x"}'), 400, "feature 'age' of the context must be a number, or a list of numbers. "),
        (body_of(rest=', "k": 0'), 422, "body.k: Input should be greater than or equal to 1. Received: 0"),
        (body_of(rest=', "x": 0'), 422, "body.x: Extra inputs are not permitted. Received: 0"),
        (b" " * (MAX_BODY_BYTES + 1), 413, f"the body must have at most {MAX_BODY_BYTES:,} bytes. Received: "),
        (body_of(candidates=json.dumps(["a"] * 10_001)), 400, "candidates must be 1 to 10,000. Received: 10,001"),
    ],
)
def test_a_bad_request_is_told_why(service: str, body: bytes, status: int, problem: str) -> None:
    headers = {"content-type": "application/json"}
    response = httpx.post(f"{service}/rank", content=body, headers=headers, timeout=30)
    assert response.status_code == status
    error = response.json()["error"]
    assert error.startswith(problem)
    assert len(error) <= 1000


def test_a_body_without_a_length_is_bounded_too(service: str) -> None:
    chunks = (b" " * 1000 for _ in range(1000))
    response = httpx.post(f"{service}/rank", content=chunks, headers={"content-type": "application/json"}, timeout=30)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"POST /rank HTTP/1.1\r\nhost: x\r\n", "a request's head must come within 0.5 seconds"),
        (
            b"POST /rank HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
            "a request's body must come within 0.5 seconds",
        ),
    ],
)
def test_a_request_that_does_not_come_to_its_end_is_answered_408(
    server: str, tmp_path: Path, sent: bytes, problem: str
) -> None:
    with ranking_service(server, "tiny", tmp_path / "log", "--timeout-seconds", "0.5") as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(sent)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 408 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2]) == {"error": problem}


def test_bodies_that_stall_are_dropped_for_others(server: str, tmp_path: Path) -> None:
    """17 bodies of 950 bytes are more than the 16 x 1,000 bytes that unfinished ones may have."""
    head = b"POST /rank HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    options = ("--max-body-bytes", "1000", "--deadline-seconds", "20")
    with ranking_service(server, "tiny", tmp_path / "log", *options) as url, contextlib.ExitStack() as stack:
        host, port = url.removeprefix("http://").split(":")
        stalled = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(17)]
        for connection in stalled:
            connection.sendall(head + b" " * 950)
        readable, _, _ = select.select(stalled, [], [], 60)
        (dropped,) = readable
        received = b"".join(iter(lambda: dropped.recv(65536), b""))
        answer = rank(url, context={}, candidates=["app_1"])
    assert received.startswith(b"HTTP/1.1 429 ")
    problem = "unfinished bodies of 16,000 bytes are there already; try again later"
    assert json.loads(received.partition(b"\r\n\r\n")[2]) == {"error": problem}
    assert answer.status_code == 200


def test_health(service: str) -> None:
    assert httpx.get(f"{service}/health/live", timeout=60).json() == {"status": "live"}
    assert httpx.get(f"{service}/health/ready", timeout=60).json() == {"status": "ready", "version": 1}
    assert httpx.get(f"{service}/docs", timeout=60).status_code == 200


def test_without_a_server_the_service_lives_and_is_not_ready(tmp_path: Path) -> None:
    with ranking_service(f"127.0.0.1:{free_port()}", "tiny", tmp_path / "log", "--deadline-seconds", "5") as url:
        for response in (httpx.get(f"{url}/health/ready", timeout=10), rank(url, context={}, candidates=["a"])):
            assert response.status_code == 503
            assert response.json()["error"].startswith("the model server must be reachable. Received: UNAVAILABLE: ")
