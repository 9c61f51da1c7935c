"""Files that are not a config, and YAML features beyond plain mappings."""

from __future__ import annotations

from pathlib import Path

import pytest

from transform.config.config_file import MAX_CONFIG_BYTES, load_config
from transform.errors import ConfigError


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"name: a\nname: b\n",
            "the config is not valid YAML: the key 'name' stands twice in \"<unicode string>\", "
            "line 1, column 1: name: a ^ ({path})",
        ),
        (b"name: \xff\n", "a config must be UTF-8 text: invalid start byte at byte 6 ({path})"),
        (b"", "a config must be a mapping of keys. Received: NoneType ({path})"),
        (b"- a\n", "a config must be a mapping of keys. Received: list ({path})"),
        (b"name: 2026-13-45\n", "the config is not valid YAML: month must be in 1..12 ({path})"),
        (b"[" * 5000, "the config is nested too deeply ({path})"),
        (
            b"#" * (MAX_CONFIG_BYTES + 1),
            f"a config has at most {MAX_CONFIG_BYTES} bytes. Received: {MAX_CONFIG_BYTES + 1} ({{path}})",
        ),
    ],
    ids=["key twice", "not UTF-8", "empty", "list", "no such date", "nested", "too large"],
)
def test_a_file_that_is_no_config_is_told_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == sentence.format(path=path)


@pytest.mark.parametrize(
    ("value", "tag", "received"),
    [
        ('!!int ""', "!!int", "''"),
        ('!!float ""', "!!float", "''"),
        ("!!bool x", "!!bool", "'x'"),
        ("!!timestamp x", "!!timestamp", "'x'"),
        ("!!timestamp {=: 2026-01-01}", "!!timestamp", "a mapping"),
    ],
)
def test_a_value_that_its_tag_does_not_allow_is_told(tmp_path: Path, value: str, tag: str, received: str) -> None:
    path = write(tmp_path, f"name: a\nmodel: [{value}]\n".encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    reported = f"the config is not valid YAML: `{tag}` must have a value of that type. Received: {received} in "
    assert str(caught.value).startswith(reported)
    assert "line 2, column 9" in str(caught.value)


def test_a_tag_that_would_run_code_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(ConfigError, match="could not determine a constructor for the tag"):
        load_config(write(tmp_path, f"name: !!python/object/apply:os.mkdir [{target}]\n".encode()))
    assert not target.exists()


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"the config cannot be read: No such file or directory ({path})"


def test_yaml_merge_keys_work(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path,
            b"""
name: merged
sources: {impressions: {path: a.csv, format: csv, label: y, request_id: r}}
features:
  - &base {name: a, side: item, kind: categorical, vocabulary: {min_count: 3}}
  - {<<: *base, name: b}
evaluation: {thresholds: {auc: {min: 0.5}}}
""",
        )
    )
    assert [(f.name, f.side, f.vocabulary) for f in config.spec.features] == [
        (name, "item", config.spec.by_name["a"].vocabulary) for name in ("a", "b")
    ]


_NESTED_MERGES = b"""
name: merged
sources: {impressions: {path: a.csv, format: csv, label: y, request_id: r}}
features:
  - &a {name: a, side: item, kind: categorical, vocabulary: {min_count: 3}}
  - &b {<<: *a, name: b, side: context}
  - {<<: *b, name: c}
  - {<<: [*b], name: d%s}
evaluation: {thresholds: {auc: {min: 0.5}}}
"""


def test_a_mapping_that_merges_another_can_be_merged(tmp_path: Path) -> None:
    spec = load_config(write(tmp_path, _NESTED_MERGES % b"")).spec
    assert [(f.name, f.side) for f in spec.features] == [
        ("a", "item"), ("b", "context"), ("c", "context"), ("d", "context"),
    ]  # fmt: skip
    assert all(f.vocabulary == spec.by_name["a"].vocabulary for f in spec.features)


def test_a_key_that_stands_twice_is_told_in_a_mapping_that_is_merged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the key 'side' stands twice"):
        load_config(write(tmp_path, _NESTED_MERGES % b", side: item, side: item"))
    content = _NESTED_MERGES.replace(b"side: context}", b"side: context, side: item}")
    with pytest.raises(ConfigError, match="the key 'side' stands twice"):
        load_config(write(tmp_path, content % b""))
