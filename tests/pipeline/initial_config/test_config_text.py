"""The config that `wdr init` writes, and the command."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pipeline.cli.main import cli
from pipeline.initial_config.config_text import initial_config
from pipeline.initial_config.source_lines import shell_word, yaml_value
from tests.drawn import so_many
from tests.pipeline.initial_config.guessing import NOTES, ROWS, guessed
from transform.config.config_file import load_config, parse_yaml
from transform.errors import InputError


def test_the_commands_are_a_shell_s_words(tmp_path: Path) -> None:
    folder, out = tmp_path / f"it's {'long' * 12} $(x)", tmp_path / "my configs" / "-x.yaml"
    folder.mkdir()
    out.parent.mkdir()
    (folder / "log.csv").write_bytes((NOTES + "\n".join(ROWS)).encode("latin-1"))
    done = run(str(folder / "log.csv"), "--out", str(out))
    assert shlex.split(done.output.split("then: ")[1]) == ["wdr", "check", str(out), "--data", str(folder)]
    lines = [line.removeprefix("#   ") for line in out.read_text("utf-8").splitlines() if line.startswith("#   ")]
    assert [shlex.split(line) for line in lines] == [
        ["wdr", "check", str(out), "--data", str(folder)],
        ["wdr", "run", str(out), "--data", str(folder), "--workspace", "runs/log"],
    ]
    assert shell_word(Path("-x.yaml")) == "./-x.yaml"


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[0m", "a\u202eb"])
def test_a_path_that_no_line_can_show_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "log.csv").write_bytes(b"a,b\n1,0\n2,1\n")
    with pytest.raises(InputError, match="a path must have printable characters only"):
        initial_config(tmp_path / "log.csv", None, 1000, tmp_path / name)


HOSTILE = st.text(
    st.one_of(st.sampled_from("ab#:{}[]!&*'\"%@`-?|>, \t\n\\/.,é\u2028\u0085\ufeff😀_"), st.characters(codec="utf-8")),
    min_size=1,
    max_size=12,
)


NAMES = st.one_of(
    HOSTILE,
    st.sampled_from(["label", "yes", "null", "~", "1", "1e3", "2026-01-01", "span", "a_bucket", "a", "A", "<<"]),
)


@settings(
    max_examples=so_many(150),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(names=st.lists(NAMES, min_size=2, max_size=6, unique=True), values=st.lists(NAMES, min_size=2, max_size=5))
def test_hostile_names_and_values_give_a_config_that_reads_them(
    tmp_path: Path, names: list[str], values: list[str]
) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*names, "target"])
    writer.writerows([[values[(i + at) % len(values)] for at in range(len(names))] + [i % 2] for i in range(60)])
    (tmp_path / "log.csv").write_bytes(file.getvalue().encode())
    try:
        config, text = guessed(tmp_path / "log.csv")
    except InputError as error:
        event(f"refused: {str(error)[:30]}")
        return
    event("accepted")
    read = {f.source_column for f in config.spec.features}
    header = set(config.sources.impressions.text.columns) or {*names, "target"}
    assert read <= header
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())


@given(value=st.one_of(NAMES, st.lists(NAMES), st.dictionaries(NAMES, NAMES)))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_value_in_yaml_is_read_back(value: Any) -> None:
    line = yaml_value(value)
    assert "\n" not in line
    assert parse_yaml(f"x: {line}  # a comment", "test") == {"x": value}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["init", *arguments])


def test_the_command_overwrites_a_config_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes((NOTES + "\n".join(ROWS)).encode("latin-1"))
    out = tmp_path / "c.yaml"
    assert run(str(tmp_path / "log.csv"), "--out", str(out)).exit_code == 0
    first = out.read_bytes()
    assert load_config(out).name == "log"
    out.write_text("mine")
    refused = run(str(tmp_path / "log.csv"), "--out", str(out))
    assert refused.exit_code != 0
    assert out.read_text() == "mine"
    assert run(str(tmp_path / "log.csv"), "--out", str(out), "--force").exit_code == 0
    assert out.read_bytes() == first
