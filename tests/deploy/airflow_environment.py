"""An environment with one version of Airflow, installed once for all workers of a test run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.e2e.store import ROOT
from tests.once import made_once

STANDALONE = runpy.run_path(str(ROOT / "deploy" / "airflow" / "standalone.py"))


def environment(factory: pytest.TempPathFactory, version: str) -> Path:
    """Returns the environment's folder."""
    return made_once(factory, f"airflow-{version}", lambda folder: STANDALONE["install"](version, folder))
