"""A URL names ML Metadata on a server; the error for a wrong URL does not contain its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.metadata.connection import METADATA_URL, connection_from, place_of
from pipeline.workspace import Workspace
from transform.errors import InputError


def test_postgresql() -> None:
    found = connection_from("postgresql://wdr:se%40cret@db.example/mlmd").postgresql
    assert (found.host, found.port, found.user, found.password, found.dbname) == (
        "db.example", "5432", "wdr", "se@cret", "mlmd",
    )  # fmt: skip


def test_mysql() -> None:
    found = connection_from("mysql://wdr@localhost:3307/mlmd").mysql
    assert (found.host, found.port, found.user, found.password, found.database) == (
        "localhost",
        3307,
        "wdr",
        "",
        "mlmd",
    )


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///secret",
        "postgresql://db/secret",
        "postgresql://wdr:secret@db",
        "mysql://wdr:secret@db:many/mlmd",
        "postgresql://wdr:12/secret@db/mlmd",
        "postgresql://wdr:secret/3@db/mlmd",
        "postgresql://wdr:secret@db/mlmd?sslmode=require",
        "secret",
    ],
)
def test_another_form_is_refused_and_nothing_of_it_told(url: str) -> None:
    with pytest.raises(InputError, match=r"^WDR_METADATA_URL must be postgresql:// or mysql://USER:") as raised:
        connection_from(url)
    assert "secret" not in str(raised.value)


def test_the_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(METADATA_URL, raising=False)
    workspace = Workspace.at(tmp_path)
    assert workspace.metadata_connection().sqlite.filename_uri == str(tmp_path / "metadata" / "metadata.db")
    monkeypatch.setenv(METADATA_URL, "mysql://wdr@db/mlmd")
    assert workspace.metadata_connection().mysql.host == "db"


@pytest.mark.parametrize("url", ["postgresql://db.example:5433/mlmd", "mysql://db.example:3307/mlmd"])
def test_a_server_is_told_of_without_its_credentials(url: str) -> None:
    scheme, _, address = url.partition("://")
    assert place_of(connection_from(f"{scheme}://wdr:secret@{address}")) == url


def test_a_file_is_told_of_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(METADATA_URL, raising=False)
    assert place_of(Workspace.at(tmp_path).metadata_connection()) == str(tmp_path / "metadata" / "metadata.db")
