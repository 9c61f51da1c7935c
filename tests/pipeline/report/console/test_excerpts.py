"""The excerpts of a run's summary in the pages have the lines that a run prints, except for numbers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from components.infra_validation.verdict import Comparison, Latency, Measurements, Verdict
from pipeline.report.console.cost_table import infra_rows
from tests.pages import FENCE, PAGES, name_of, text_of

VERDICT = Verdict(
    (),
    Measurements(
        load_seconds=1.26,
        size_mb=34.56,
        peak_memory_mb=812.3,
        memory_mb=210.4,
        latency=(
            Latency(200, 1, 30.0, 31.0, 39.9),
            Latency(100, 2, 20.0, 21.0, 22.0),
            Latency(50, 4, 14.0, 15.5, 16.2),
        ),
        signature="serving_default",
    ),
    None,
    "",
    Comparison(1000, 0, 2.4e-7, ""),
    Comparison(990, 0, 1.2e-7, ""),
    Comparison(12345, 0, 1e-8, ""),
)

#: By page, the lines of its excerpt.
EXCERPTS = {
    page: [line for line in block[3].splitlines() if line != "…"]
    for page in PAGES
    for block in FENCE.findall(text_of(page))
    if "\n200 candidates " in f"\n{block[3]}"
}


def split_words(line: str) -> list[str]:
    """A line's words, each number as `#`."""
    return re.sub(r"\d[\d,.]*(e[+-]\d+)?", "#", line).split()


def agree(documented: str, printed: str) -> bool:
    """Whether two lines have the same words, except for a column that the printed one may have more.

    The excerpts were printed before the table had its column `signature`, and say so.
    """
    expected, words = split_words(documented), split_words(printed)
    return expected in [words, *(words[:i] + words[i + 1 :] for i in range(len(words)))]


def printed_lines() -> list[str]:
    """The lines of the candidate model's cost, as the summary has them: each with the label before the first."""
    lines = []
    for what, found in infra_rows(VERDICT):
        file = io.StringIO()
        Console(file=file, width=1000).print(found)
        first, *others = file.getvalue().splitlines()
        lines += [f"{what} {first}", *others]
    return lines


def test_the_page_on_benchmarks_has_an_excerpt() -> None:
    assert [name_of(page) for page in EXCERPTS] == ["docs/explanation/benchmarks.md"]


@pytest.mark.parametrize("page", EXCERPTS, ids=name_of)
def test_the_lines_of_an_excerpt_are_printed(page: Path) -> None:
    printed = printed_lines()
    assert [line for line in EXCERPTS[page] if not any(agree(line, other) for other in printed)] == []
    assert "printed before the table had its column `signature`" in " ".join(text_of(page).split())


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("candidate 100 2 6.0 at most 1e-07", True),
        ("  candidate  rank  1,100    2  16.25   at most 6.0e-08", True),
        ("baseline  rank  100  2  6.0  at most 1e-07", False),
        ("candidate 100 2 at", False),
    ],
)
def test_lines_agree_by_their_words(printed: str, expected: bool) -> None:
    assert agree("candidate  200  1  6.0   at most 6.0e-08", printed) is expected
