"""Context features that differ within a request, as `wdr check` finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.ingestion.spans import resolve_span
from pipeline.check.first_rows import ReadRows
from pipeline.check.requests import count_differing, differing_contexts
from pipeline.cli.main import cli
from tests.transform.small_config import REMOVED, small_config, small_raw

HEADER = "clicked,request,app,installed,place\n"


def found(folder: Path, rows: list[str], *changes: tuple[str, Any], max_rows: int = 1000) -> list[str]:
    config = small_config(
        ("sources.impressions.path", "log.csv"),
        ("features.3", {"name": "place", "side": "context", "kind": "numeric", "num_quantiles": 2}),
        *changes,
    )
    (folder / "log.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    (folder / "apps.csv").write_text("app,price\na,1\n")
    return differing_contexts(config, ReadRows(config, resolve_span(config, str(folder)), "impressions", max_rows))


def test_requests_are_counted() -> None:
    # r and s have two values, t has one in two rows, u has one row.
    assert count_differing("rsrtusts", ["a", "b", "c", "d", "e", "b", "d", None]) == (2, 3)


def sentence(name: str, differing: int, several: int) -> str:
    return (
        f"the context feature `{name}` must be the same for all rows of a request, as a request gives it once. "
        f"Received: several values within {differing} of {several} requests; what each candidate has for itself is "
        "`side: item`, and what is known only after the ranking, such as the position, is no feature; within a "
        "session that is taken for a request it may differ"
    )


def test_a_place_and_a_list_that_differ_within_requests(tmp_path: Path) -> None:
    rows = ["1,r1,a,x|y,1", "0,r1,b,x|y,2", "0,r2,a,x,1", "1,r2,c,x|z,", "0,r3,c,z,2"]
    assert found(tmp_path, rows) == [sentence("installed", 1, 2), sentence("place", 2, 2)]
    assert found(tmp_path, rows, max_rows=3) == [sentence("place", 1, 1)]
    by_row = ("ingestion.split_by", "row_hash")
    of_items = ("features.3", {"name": "place", "side": "item", "kind": "numeric", "num_quantiles": 2})
    assert found(tmp_path, rows, of_items) == [sentence("installed", 1, 2)]
    assert found(tmp_path, rows, ("sources.impressions.request_id", REMOVED), by_row) == []


@pytest.mark.parametrize(("differing", "sentences"), [(1, []), (2, [sentence("place", 2, 20)])])
def test_a_context_may_differ_within_one_request_of_twenty(
    tmp_path: Path, differing: int, sentences: list[str]
) -> None:
    rows = [f"{row},r{i},a,x,{row if i < differing else 7}" for i in range(20) for row in (0, 1)]
    assert found(tmp_path, rows) == sentences


def test_the_command_says_so(tmp_path: Path) -> None:
    assert found(tmp_path, ["1,r1,a,x,1", "0,r1,b,x,2"]) != []
    raw = small_raw()
    raw["features"].append({"name": "place", "side": "context", "kind": "numeric", "num_quantiles": 2})
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(raw))
    arguments = ["check", str(tmp_path / "c.yaml"), "--data", str(tmp_path)]
    printed = CliRunner().invoke(cli, arguments, catch_exceptions=False).output
    assert f"requests: {sentence('place', 1, 1)}\n" in printed
    document = json.loads(CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert document["requests"] == [sentence("place", 1, 1)]
