"""Tests that the client's earlier import path still works, and warns; the next release removes it."""

from __future__ import annotations

import importlib
import sys

import pytest

from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.client import RankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.settings import ClientSettings


def test_the_old_path_has_the_same_classes_and_warns() -> None:
    for name in [name for name in sys.modules if name.startswith("serving.ranking.")] + ["serving.ranking"]:
        sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match="`serving.ranking` is `serving.ranking_client` now"):
        client = importlib.import_module("serving.ranking.client")
    assert client.RankingClient is RankingClient
    old = {name: importlib.import_module(f"serving.ranking.{name}") for name in ("aio_client", "errors", "settings")}
    assert old["aio_client"].AsyncRankingClient is AsyncRankingClient
    assert old["errors"].RankingError is RankingError
    assert old["settings"].ClientSettings is ClientSettings
