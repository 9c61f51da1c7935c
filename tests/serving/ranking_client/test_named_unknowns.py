"""Tests that ten unknown values of a feature are named, each once, also for threads that share a client."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Iterator

import pytest

from serving.ranking_client.named_unknowns import MAX_NAMED, NamedUnknowns


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("frequent_switches")
def test_threads_name_ten_values_of_a_feature() -> None:
    contexts = [{"country": f"n{number}"} for number in range(4 * MAX_NAMED)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            named = NamedUnknowns()
            found = threads.map(lambda context, named=named: named.warnings(context, ["country"], 1), contexts)
            sentences = [sentence for each in found for sentence in each]
            assert len(sentences) == MAX_NAMED
            assert sum("Further ones of this feature are not named" in sentence for sentence in sentences) == 1
