"""Tests of the load test, against a server that answers, one that stops for a while, and one that is not there."""

from __future__ import annotations

import asyncio
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from serving.load_test.load import LoadReport, largest_rate, load
from serving.load_test.load_report import load_json, load_table, plot_load
from serving.load_test.recorded import Recorded, Request
from serving.load_test.split import choose_part_size, measure_part_sizes
from serving.ranking_client.errors import RankingError
from serving.ranking_client.settings import ClientSettings
from tests.serving.ranking_client.running import Stoppable, free_port
from tests.serving.ranking_client.tiny_model import CATALOG

PAUSE_SECONDS = 1.0


def requests(num_candidates: int = 20) -> Iterator[Request]:
    return Recorded([{"age": 30.0}, {"age": 40.0}], list(CATALOG)).requests(num_candidates)


def calling(function: Callable[[], None], number: int) -> Iterator[Request]:
    """Requests; the function is called when so many are sent, of which the first 10 are the load test's warm-up."""
    for i, each in enumerate(requests()):
        if i == number:
            function()
        yield each


def test_a_report_counts_what_was_sent(server: str) -> None:
    settings = ClientSettings(model="tiny", server=server, deadline_seconds=20.0)
    report = asyncio.run(load(settings, requests(), rate=40, seconds=1.0))
    assert len(report.latencies) == 40
    assert report.errors == {}
    assert report.num_candidates == 40 * 20
    assert report.versions == {1}
    assert report.num_older == 0
    offsets = sorted(offset for offset, _ in report.latencies)  # they are in the order of the answers
    assert offsets == pytest.approx([i / 40 for i in range(40)])
    assert report.seconds >= 39 / 40
    assert report.candidates_per_second == pytest.approx(800 / report.seconds)


@pytest.mark.slow
def test_requests_leave_and_count_from_their_time_while_the_server_stands_still(stoppable: list[Stoppable]) -> None:
    """A closed loop would see one slow request; in an open loop, all that are due during the pause wait for its end."""
    (server, running), _ = stoppable
    settings = ClientSettings(model="tiny", server=server, deadline_seconds=30.0)
    end = threading.Timer(PAUSE_SECONDS, running.send_signal, [signal.SIGCONT])

    def pause() -> None:
        running.send_signal(signal.SIGSTOP)
        end.start()

    report = asyncio.run(load(settings, calling(pause, 70), rate=40, seconds=5.0))
    end.join()
    assert len(report.latencies) == 200
    waited = [milliseconds for _, milliseconds in report.latencies if milliseconds >= PAUSE_SECONDS * 1000 / 2]
    # 40 requests were due during the pause; the 20 of its first half waited for more than half of the pause.
    assert len(waited) >= 18
    assert max(waited) >= PAUSE_SECONDS * 900
    assert report.percentile(95) >= PAUSE_SECONDS * 400


@pytest.mark.slow
def test_failures_are_counted_by_code(stoppable: list[Stoppable]) -> None:
    (server, running), _ = stoppable
    settings = ClientSettings(model="tiny", server=server, deadline_seconds=1.0)
    stop = functools.partial(running.send_signal, signal.SIGSTOP)
    report = asyncio.run(load(settings, calling(stop, 40), rate=20, seconds=3.0))
    assert report.errors["DEADLINE_EXCEEDED"] > 0
    assert len(report.latencies) + report.errors.total() == 60


def test_no_server_at_all_is_an_error() -> None:
    settings = ClientSettings(model="tiny", server=f"127.0.0.1:{free_port()}")
    with pytest.raises(RankingError, match=r"^the model server must be reachable\."):
        asyncio.run(load(settings, requests(), rate=10, seconds=1.0))


def report_of(milliseconds: list[float], errors: int = 0, rate: float = 10.0) -> LoadReport:
    report = LoadReport(rate, seconds=2.0)
    for i, latency in enumerate(milliseconds):
        report.answered(i / rate, latency / 1000, num_candidates=200, version=1)
    report.errors.update({"UNAVAILABLE": errors} if errors else {})
    return report


def test_percentiles_are_the_histogram_s() -> None:
    report = report_of([float(i) for i in range(1, 1001)])
    for percent in (50, 90, 99, 99.9, 100):
        assert report.percentile(percent) == pytest.approx(percent * 10, rel=2e-3)
    assert report.candidates_per_second == 100_000


def test_an_older_version_is_counted() -> None:
    report = LoadReport(1.0)
    for version in (1, 2, 1, 2, 3, 2):
        report.answered(0.0, 0.001, 1, version)
    assert report.num_older == 2
    assert report.versions == {1, 2, 3}


def test_a_report_as_table_json_and_plot(tmp_path: Path) -> None:
    report = report_of([1.0, 2.0, 30.0], errors=4)
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    console.print(load_table(report))
    text = console.export_text()
    for words in ("10 requests/s for 2.0 s", "p50", "2.00 ms", "30.0", "300", "UNAVAILABLE"):
        assert words in text
    as_json = load_json(report)
    assert as_json["errors"] == {"UNAVAILABLE": 4}
    assert as_json["milliseconds"]["p50"] == pytest.approx(2.0, rel=2e-3)
    assert load_json(LoadReport(1.0))["milliseconds"] == {}
    plot_load([report, report_of([5.0])], str(tmp_path / "plot.png"))
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def server_that_bears(limit: float) -> Callable[[float], LoadReport]:
    """Reports a p99 of 5 ms up to a rate, and of 50 ms above it."""
    return lambda rate: report_of([5.0 if rate <= limit else 50.0] * 10, rate=rate)


@pytest.mark.parametrize("limit", [50.0, 51.0, 99.0, 100.0, 333.0])
def test_the_largest_rate_is_found(limit: float) -> None:
    best = largest_rate(server_that_bears(limit), 50.0, 14.0)
    assert best is not None
    assert limit / 1.05 <= best.rate <= limit


def test_a_first_rate_that_is_too_high_and_errors_that_are_none_too_few() -> None:
    assert largest_rate(server_that_bears(49.0), 50.0, 14.0) is None
    assert largest_rate(lambda rate: report_of([1.0] * 1000, errors=1, rate=rate), 50.0, 14.0) is None
    assert largest_rate(lambda rate: LoadReport(rate), 50.0, 14.0) is None


@pytest.mark.parametrize(
    ("milliseconds", "best"),
    [
        ({None: [10.0, 10, 30], 50: [9.0, 9, 9], 100: [9.4, 9.4, 9.4]}, 50),
        ({None: [10.0, 10, 10], 50: [9.6, 9.6, 9.6]}, None),
        ({None: [10.0], 50: [20.0]}, None),
    ],
)
def test_parts_are_chosen_if_they_are_worth_it(milliseconds: dict[int | None, list[float]], best: int | None) -> None:
    assert choose_part_size(milliseconds) == best


def test_part_sizes_are_measured_in_turn(server: str) -> None:
    settings = ClientSettings(model="tiny", server=server, deadline_seconds=20.0)
    milliseconds = measure_part_sizes(settings, requests(20), [5, 10], repetitions=7)
    assert list(milliseconds) == [None, 5, 10]
    assert all(len(times) == 7 and np.min(times) > 0 for times in milliseconds.values())
