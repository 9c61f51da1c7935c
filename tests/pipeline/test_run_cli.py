"""`wdr run` for several spans: the range of spans, and options that exclude each other."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.main import cli
from pipeline.cli.run import Spans
from tests.e2e.store import CONFIG


def test_both_ends_are_included() -> None:
    assert list(Spans().convert("3..5", None, None)) == [3, 4, 5]
    assert list(Spans().convert("7..7", None, None)) == [7]


@pytest.mark.parametrize("text", ["5..3", "3", "3..", "a..b", "-1..3", "3...5", "1..9999999999"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter) as raised:
        Spans().convert(text, None, None)
    assert raised.value.message == f"spans are two numbers, the lower one first, such as 3..7. Received: {text!r}"


@pytest.mark.parametrize(
    "more", [["--accept-span"], ["--force-push"], ["--force-push", "--reason", " "], ["--reason", "x"]]
)
def test_a_gate_is_overruled_for_a_reason_only(more: list[str], tmp_path: Path) -> None:
    arguments = ["run", str(CONFIG), "--data", str(tmp_path), "--workspace", str(tmp_path), *more]
    result = CliRunner().invoke(cli, arguments, terminal_width=200)
    assert result.exit_code == 2
    assert "`--force-push` or `--accept-span` and `--reason TEXT` must be given together" in result.output


@pytest.mark.parametrize(
    "more", [["--span", "3"], ["--force-push", "--reason", "a test"], ["--accept-span", "--reason", "a test"]]
)
def test_a_backfill_is_of_no_single_span_and_forces_nothing(more: list[str], tmp_path: Path) -> None:
    arguments = ["run", str(CONFIG), "--data", str(tmp_path), "--workspace", str(tmp_path), "--backfill", "1..2", *more]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "`--backfill` cannot be combined with `--span`, `--force-push`" in result.output
