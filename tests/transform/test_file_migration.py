"""`wdr check --migrate` replaces the old names of keys in a file, and no other byte of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transform.config.config import load_config
from transform.config.file_migration import migrate_file
from transform.errors import ConfigError

#: A whole config; a test puts its features, and what else it needs, behind it.
HEAD = """\
name: store  # oov_buckets: a comment
sources: {impressions: {path: a.csv, format: csv, label: y, request_id: r}}
evaluation: {thresholds: {auc: {min: 0.5}}}
"""

FEATURE = "features: [{{name: a, side: item, kind: categorical, vocabulary: {}}}]"

BY_HAND = "an old name is rewritten only where it, and its value, stand as plain text; rename by hand"


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "store.yaml"
    path.write_bytes((HEAD + text).encode(encoding))
    return path


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (
            "features:\n"
            "  # äöü 🙂: the first one\n"
            "  - {name: oov_buckets, side: item, kind: categorical, vocabulary: {oov_buckets: 2, min_count: 1}} # end\n"
            "\n"
            "  - name: b\n"
            "    side:   context\n"
            "    kind: categorical\n"
            "    column: 'oov_buckets'\n"
            "    vocabulary:\n"
            "      oov_buckets :  5   # hashed\n",
            "features:\n"
            "  # äöü 🙂: the first one\n"
            "  - {name: oov_buckets, side: item, kind: categorical, vocabulary: {num_oov_buckets: 2, min_count: 1}} #"
            " end\n\n"
            "  - name: b\n"
            "    side:   context\n"
            "    kind: categorical\n"
            "    column: 'oov_buckets'\n"
            "    vocabulary:\n"
            "      num_oov_buckets :  5   # hashed\n",
            [6, 13],
        ),
        (
            'features: [{name: a, side: item, kind: categorical, vocabulary: {"oov_buckets": 2}},\n'
            "  {name: b, side: item, kind: categorical, vocabulary: {'oov_buckets': 2}}]",
            'features: [{name: a, side: item, kind: categorical, vocabulary: {"num_oov_buckets": 2}},\n'
            "  {name: b, side: item, kind: categorical, vocabulary: {'num_oov_buckets': 2}}]",
            [4, 5],
        ),
        (
            "features:\r\n  - {name: a, side: item, kind: categorical, vocabulary: {? oov_buckets\r\n : 2}}\r\n",
            "features:\r\n  - {name: a, side: item, kind: categorical, vocabulary: {? num_oov_buckets\r\n : 2}}\r\n",
            [5],
        ),
        (
            "features:\n"
            "  - &a {name: a, side: item, kind: categorical, vocabulary: &v {&k oov_buckets: 3}}\n"
            "  - {<<: *a, name: b}\n"
            "  - {name: c, side: item, kind: categorical, vocabulary: *v}\n"
            "  - {name: d, side: item, kind: categorical, vocabulary: {<<: [*v], min_count: 4}}\n"
            "  - {name: e, side: item, kind: categorical, vocabulary: {<<: *v, oov_buckets: 4}}\n"
            "  - {name: f, side: item, kind: categorical, vocabulary: {<<: [{oov_buckets: 6}]}}\n",
            "features:\n"
            "  - &a {name: a, side: item, kind: categorical, vocabulary: &v {&k num_oov_buckets: 3}}\n"
            "  - {<<: *a, name: b}\n"
            "  - {name: c, side: item, kind: categorical, vocabulary: *v}\n"
            "  - {name: d, side: item, kind: categorical, vocabulary: {<<: [*v], min_count: 4}}\n"
            "  - {name: e, side: item, kind: categorical, vocabulary: {<<: *v, num_oov_buckets: 4}}\n"
            "  - {name: f, side: item, kind: categorical, vocabulary: {<<: [{num_oov_buckets: 6}]}}\n",
            [5, 9, 10],
        ),
    ],
    ids=["block and flow", "quotes", "CRLF", "anchors and merges"],
)
def test_the_names_are_replaced_and_nothing_else(tmp_path: Path, before: str, after: str, lines: list[int]) -> None:
    path = write(tmp_path, before)
    with pytest.warns(FutureWarning, match="oov_buckets"):
        config = load_config(path)
    changes = migrate_file(path)
    assert path.read_bytes() == (HEAD + after).encode()
    assert changes == [f"line {line}: `oov_buckets` is now `num_oov_buckets`" for line in lines]
    warnings: list[str] = []
    assert load_config(path, warnings.append) == config
    assert warnings == []


def test_every_key_is_renamed_and_values_whose_form_has_changed(tmp_path: Path) -> None:
    features = "features: [{{name: a, side: item, kind: numeric, {quantiles}: 4}}]\n"
    before = (
        "counts: [{features: [a]}]\n" + features.format(quantiles="quantiles") + "crosses: []\n"
        "model: {bfloat16: yes, dropout: 0.5} # yes\n"
        "training:\n"
        "  deep_optimizer: {final_fraction: 0.1}\n"
        "tuning:\n"
        "  ranges:\n"
        "    model.bfloat16: {choices: [true, False, true]}\n"
        '    "training.negative_fraction": {min: 0.1, max: 1}\n'
    )
    path = write(tmp_path, before)
    assert migrate_file(path) == [
        "line 4: `counts` is now `count_encodings`",
        "line 5: `quantiles` is now `num_quantiles`",
        "line 7: `bfloat16: yes` is now `compute_dtype: bfloat16`",
        "line 9: `final_fraction` is now `min_lr_ratio`",
        "line 12: `model.bfloat16: {choices: [true, False, true]}` is now "
        "`model.compute_dtype: {choices: [bfloat16, float32, bfloat16]}`",
        "line 13: `training.negative_fraction` is now `training.negative_sampling_rate`",
    ]
    assert path.read_text() == HEAD + (
        "count_encodings: [{features: [a]}]\n" + features.format(quantiles="num_quantiles") + "crosses: []\n"
        "model: {compute_dtype: bfloat16, dropout: 0.5} # yes\n"
        "training:\n"
        "  deep_optimizer: {min_lr_ratio: 0.1}\n"
        "tuning:\n"
        "  ranges:\n"
        "    model.compute_dtype: {choices: [bfloat16, float32, bfloat16]}\n"
        '    "training.negative_sampling_rate": {min: 0.1, max: 1}\n'
    )


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    path = write(
        tmp_path, "features: [{name: a, side: item, kind: categorical, vocabulary: {oov_buckets: 2}}]", "utf-8-sig"
    )
    migrate_file(path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfname: store")
    assert path.read_bytes().endswith(b"{num_oov_buckets: 2}}]")


def test_a_file_without_old_names_is_not_written(tmp_path: Path) -> None:
    path = write(tmp_path, "features: [{name: oov_buckets, side: item,   kind: categorical, vocabulary: {} }]\r\n\n\n")
    content, before = path.read_bytes(), path.stat()
    assert migrate_file(path) == []
    assert path.read_bytes() == content
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            FEATURE.format("{oov_buckets: 2, num_oov_buckets: 2}"),
            "`num_oov_buckets` and its old name `oov_buckets` are both given; keep one of them ({path}, "
            "features.a.vocabulary)",
        ),
        (
            FEATURE.format(r'{"oov\x5fbuckets": 2}'),
            f"{BY_HAND}. Received: `oov_buckets` ({{path}})",
        ),
        (
            FEATURE.format("{}") + "\nmodel: {batch_norm: &yes true, bfloat16: *yes}",
            f"{BY_HAND}. Received: `bfloat16` ({{path}})",
        ),
        (FEATURE.format("{oov_buckets: 2"), "the config is not valid YAML: "),
    ],
    ids=["both names", "escaped", "one value of two keys", "no YAML"],
)
def test_a_file_that_cannot_be_migrated_stays(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, text)
    content = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        migrate_file(path)
    assert str(caught.value).startswith(sentence.format(path=path))
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["store.yaml"]


def test_permissions_and_a_link_to_the_file_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "features: [{name: a, side: item, kind: categorical, vocabulary: {oov_buckets: 2}}]")
    path.chmod(0o640)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.yaml"
    link.symlink_to("../store.yaml")
    assert migrate_file(link) != []
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert b"num_oov_buckets" in path.read_bytes()


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "features: [{name: a, side: item, kind: categorical, vocabulary: {oov_buckets: 2}}]")
    content = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        migrate_file(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["store.yaml"]
