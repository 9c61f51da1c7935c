"""Old names of keys on the command line: the warnings on stderr, and `wdr check --migrate`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli.main import cli
from tests.transform.small_config import changed


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with an old name in two places, and with a mistake."""
    raw = changed(
        ("features.0.vocabulary.oov_buckets", 3), ("features.1.vocabulary", {"oov_buckets": 5}), ("model.dropout", 2)
    )
    path = tmp_path / "store.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


@pytest.mark.parametrize(
    "command", [["check"], ["run", "--workspace", "w"], ["compile", "--target", "local", "--out", "o"]]
)
def test_an_old_name_is_warned_of_once_on_stderr(config: Path, command: list[str], tmp_path: Path) -> None:
    data = [] if command[0] == "compile" else ["--data", str(tmp_path)]
    result = CliRunner().invoke(cli, [*command, str(config), *data])
    assert str(result.exception).startswith("`dropout` must be less than 1.0")
    assert result.stderr == (
        f"warning: `oov_buckets` is now called `num_oov_buckets` ({config}, features.app.vocabulary and 1 more place). "
        f"The next release no longer accepts the old name; `wdr check --migrate {config}` rewrites the file\n"
    )
    assert result.stdout == ""


def test_migrate_reports_each_change_and_then_nothing(config: Path) -> None:
    lines = [i for i, line in enumerate(config.read_text().splitlines(), 1) if "oov_buckets" in line]
    result = CliRunner().invoke(cli, ["check", "--migrate", str(config)], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"{config}: line {i}: `oov_buckets` is now `num_oov_buckets`" for i in lines]
    content = config.read_bytes()
    result = CliRunner().invoke(cli, ["check", str(config), "--migrate"], catch_exceptions=False)
    assert result.stdout == f"{config} has no old names of keys\n"
    assert config.read_bytes() == content


def test_without_migrate_the_data_is_needed(config: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(config)])
    assert result.exit_code == 2
    assert "Missing option '--data'." in result.stderr


def test_migrate_without_data_prints_no_document(config: Path) -> None:
    result = CliRunner().invoke(cli, ["check", "--migrate", "--json", str(config)], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "`oov_buckets` is now `num_oov_buckets`" in result.stderr
