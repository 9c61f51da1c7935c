"""What keeps one caller of the HTTP service from harming the others, and what Prometheus sees; with real processes."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.serving.ranking_client.running import ranking_service


@pytest.fixture(scope="module")
def service(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log"
    options = ("--ui", "--ui-host", "Ranking.example", "--deadline-seconds", "20", "--timeout-seconds", "120")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))  # inherited by the service
    try:
        with ranking_service(server, "tiny", log, *options) as url:
            yield url
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Traceback" not in log.read_text()


def test_idle_connections_keep_nobody_out(service: str) -> None:
    """The service has 1,000 at most; those that have waited longest for their client make room."""
    host, port = service.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        address = host, int(port)
        idle = [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(1005)]
        assert httpx.get(f"{service}/health/live", timeout=60).status_code == 200
        with idle[0].makefile("rb") as first:
            first.read()  # up to its end


@pytest.mark.slow
def test_large_bodies_do_not_hold_up_the_others(service: str) -> None:
    """16 bodies of 4 MB take seconds to parse; meanwhile the service answers."""
    numbers = list(range(130_000))
    context = {f"f{i}": numbers[i * 10_000 : (i + 1) * 10_000] for i in range(13)}
    content = json.dumps({"context": context, "candidates": 0}).encode().ljust(4_000_000)
    headers = {"content-type": "application/json"}
    waits: list[float] = []
    statuses: list[int] = []

    def send() -> None:
        answer = httpx.post(f"{service}/rank", content=content, headers=headers, timeout=120)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    with httpx.Client(base_url=service, timeout=120) as probe:
        while any(thread.is_alive() for thread in threads):
            begin = time.monotonic()
            assert probe.get("/health/live").status_code == 200
            waits.append(time.monotonic() - begin)
            time.sleep(0.01)
    assert statuses == [422] * 16
    assert max(waits) < 1.0, max(waits)


@pytest.mark.parametrize(("path", "more"), [("/rank", {}), ("/ui/rank", {"version": 1})])
def test_a_large_body_is_answered_as_a_small_one(service: str, path: str, more: dict[str, int]) -> None:
    small = {"context": {}, "candidates": ["app_1", {"id": "new", "features": {"quality": 9}}], **more}
    large = {**small, "context": {"country": ["x" * 5000] * 4}}
    few, many = (httpx.post(f"{service}{path}", json=body, timeout=120).json() for body in (small, large))
    assert [item["id"] for item in few["items"]] == ["new", "app_1"]
    assert many["items"] == few["items"]


def test_no_redirect_leads_to_a_host_that_the_caller_names(service: str) -> None:
    answer = httpx.post(f"{service}/rank/", headers={"host": "evil.example"}, json={}, timeout=30)
    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:8080", 421),
        ("", 421),
        ("[::1", 421),
        ("localhost", 200),
        ("10.0.0.7:8080", 200),
        ("[::1]:8080", 200),
        ("ranking.example:8080", 200),
    ],
)
def test_the_page_is_for_its_own_hosts_alone(service: str, host: str, status: int) -> None:
    """By DNS rebinding, a page of another site has that site's name as its Host."""
    for path in ("/ui/", "/ui/start"):
        answer = httpx.get(f"{service}{path}", headers={"host": host}, timeout=30)
        assert answer.status_code == status
        problem = "the page's host must be an IP address, or one of ['localhost', 'ranking.example']. Received: "
        assert status == 200 or answer.json()["error"].startswith(problem)
    assert httpx.get(f"{service}/health/live", headers={"host": host or "x"}, timeout=30).status_code == 200


def test_requests_are_counted_by_path_and_status(service: str) -> None:
    def counts() -> dict[str, float]:
        lines = [line for line in httpx.get(f"{service}/metrics", timeout=30).text.splitlines() if line[0] != "#"]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    before = counts()
    body = {"context": {}, "candidates": ["app_1"]}
    httpx.post(f"{service}/rank", json=body, timeout=30)
    httpx.post(f"{service}/rank", json={**body, "k": 0}, timeout=30)
    for i in range(3):
        httpx.get(f"{service}/none{i}", timeout=30)
    after = counts()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    requests = "wdr_rank_service_requests_total"
    assert grown[f'{requests}{{path="/rank",status="200"}}'] == 1
    assert grown[f'{requests}{{path="/rank",status="422"}}'] == 1
    assert grown[f'{requests}{{path="other",status="404"}}'] == 3
    assert grown['wdr_rank_service_request_seconds_count{path="/rank"}'] == 2
    assert grown['wdr_rank_service_request_seconds_bucket{le="+Inf",path="/rank"}'] == 2
