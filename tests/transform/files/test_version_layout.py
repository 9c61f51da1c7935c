"""The names of versions' folders, as the components and the model server read them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from components.model_store.versions import versions
from serving.model_server.engine import version_files
from transform.errors import InputError
from transform.files.version_layout import catalog_digest, complete_versions, version_number


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("7", 7),
        ("007", 7),
        ("00000123", 123),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),  # no int64
        ("00000000000000000007", None),  # 20 digits
        ("-3", None),
        ("+3", None),
        ("1_000", None),
        ("٣", None),  # a decimal digit that is not ASCII
        ("x", None),
        ("", None),
        (".part-5", None),
    ],
)
def test_a_version_s_number(name: str, expected: int | None) -> None:
    assert version_number(name) == expected


def test_of_several_names_of_a_version_the_shortest_counts_and_a_marked_one_does_not() -> None:
    assert complete_versions(["007", "07", "3", ".part-3", "4", ".gone-4"]) == {7: "07", 4: "4"}


def test_components_and_model_server_read_the_same_versions(tmp_path: Path) -> None:
    for name in ("1", "12", "x", "-3", "9223372036854775808", "٣", ".part-12", ".gone-4", ".removed"):
        (tmp_path / name).mkdir()
    assert versions(str(tmp_path)) == sorted(version_files.versions(str(tmp_path))) == [1]


def test_components_refuse_a_name_that_the_model_server_would_serve_under_another_one(tmp_path: Path) -> None:
    for name in ("6", "007"):
        (tmp_path / name).mkdir()
    assert version_files.versions(str(tmp_path)) == {6: "6", 7: "007"}
    with pytest.raises(InputError) as error:
        versions(str(tmp_path))
    assert str(error.value) == (
        "a version's folder must be named by its number without leading zeros: rename or remove it. "
        f"Received: 007 ({tmp_path})"
    )


def test_a_catalog_s_digest_is_that_of_its_sorted_checksums() -> None:
    text = b"aa  apps/0.gz\nbb  apps/1.gz\ncc  makers/0.gz\n"
    found = catalog_digest({"makers/0.gz": "cc", "apps/1.gz": "bb", "apps/0.gz": "aa"})
    assert found == hashlib.sha256(text).hexdigest()
