"""Fixtures shared by the tests of the resolvers, the serving folder and the push."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# TensorFlow is imported by the fixtures that need it: most test files of this folder use none of them.
if TYPE_CHECKING:
    from tests.components.mlmd_lineage import Lineage


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    from tests.components.mlmd_lineage import Lineage

    return Lineage(tmp_path / "artifacts")


@pytest.fixture(params=["local", "remote"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A serving folder on this machine, and one on a filesystem that only TensorFlow supports."""
    return str(tmp_path / "serving" / "m") if request.param == "local" else f"ram://{tmp_path}/serving/m"


@pytest.fixture
def local_root(tmp_path: Path) -> Path:
    """A serving folder on this machine."""
    return tmp_path / "serving" / "store"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.components.saved_models import export

    return export("good", tmp_path_factory.mktemp("model"))


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    (folder / "apps").mkdir(parents=True)
    (folder / "apps" / "data.gz").write_bytes(b"rows")
    return folder
