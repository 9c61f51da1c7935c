"""`wdr init --installs`: impressions whose labels are made from a log of installs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_files, check_rows
from pipeline.cli.main import cli
from pipeline.initial_config.config_text import initial_config
from tests.pipeline.initial_config.guessing import log_of
from transform.config.config_file import load_config
from transform.config.sources import DelimitedText, Installs
from transform.errors import InputError

LOG: dict[str, list[Any]] = {
    "request_id": [f"r{i // 3}" for i in range(300)],
    "user_id": [f"u{i // 3 % 30}" for i in range(300)],
    "app_id": [f"a{i * 7 % 40}" for i in range(300)],
    "time": [1_767_225_680 + i // 3 * 60 for i in range(300)],
}
INSTALLS = {"app_id": LOG["app_id"][::20], "when_ts": LOG["time"][::20], "user_id": LOG["user_id"][::20]}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["init", *map(str, arguments)])


def test_a_log_without_a_label_and_its_installs(tmp_path: Path) -> None:
    for folder in ("log", "installs"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    log, installs = tmp_path / "data" / "log" / "day.csv", tmp_path / "data" / "installs" / "day.csv"
    log.write_bytes(log_of(LOG))
    installs.write_bytes(log_of(INSTALLS, ";").replace(b"p1;", b"NULL;"))

    refused = run(log, "--out", tmp_path / "c.yaml")
    assert "`--installs` the log of installs from which labels are made" in str(refused.exception)

    done = run(log, "--installs", installs, "--out", tmp_path / "c.yaml")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "label: made from the installs, 1 where an install of the same user and item follows within an hour; correct "
        "the time",
        f"{tmp_path}/c.yaml written; correct its guesses, then: wdr check {tmp_path}/c.yaml --data {tmp_path}/data",
    ]
    config = load_config(tmp_path / "c.yaml")
    assert config.sources.installs == Installs(
        path="installs/day.csv", format="csv", text=DelimitedText(";"), null_values=("", "NULL"),
        keys=("user_id", "app_id"), timestamp="when_ts", attribution_seconds=3600,
    )  # fmt: skip
    impressions = config.sources.impressions
    assert (impressions.path, impressions.label, impressions.timestamp) == ("log/day.csv", None, "time")
    found = resolve_span(config, str(tmp_path / "data"))
    check_files(config, found)
    assert [report.name for report in check_rows(config, found, 1000)] == ["impressions", "installs"]

    both = run(log, "--installs", installs, "--label", "place")
    assert both.exit_code == 2
    assert "`--label` cannot be combined with `--installs`" in both.output


@pytest.mark.parametrize(
    ("log", "installs", "sentence"),
    [
        (LOG | {"time": LOG["app_id"]}, INSTALLS, "Received: none ({0}/log.csv)"),
        (LOG, INSTALLS | {"when_ts": INSTALLS["app_id"]}, "Received: none ({0}/installs.csv)"),
        (
            LOG,
            {"app": INSTALLS["app_id"], "ts": INSTALLS["when_ts"], "user_id": INSTALLS["user_id"]},
            "such as `user_id` and `app_id`. Received: ['place', 'user_id'] in both; the installs have ['place', "
            "'app', 'ts', 'user_id'] ({0}/installs.csv)",
        ),
    ],
)
def test_installs_that_make_no_labels(
    tmp_path: Path, log: dict[str, list[Any]], installs: dict[str, list[Any]], sentence: str
) -> None:
    (tmp_path / "log.csv").write_bytes(log_of(log))
    (tmp_path / "installs.csv").write_bytes(log_of(installs))
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml"), tmp_path / "installs.csv")
    assert sentence.format(tmp_path) in str(caught.value)
