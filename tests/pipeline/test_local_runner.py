"""The folders that the pipeline under TFX's own command line takes from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import local_runner
from transform.errors import InputError

ROOT = Path(__file__).parents[2]


def test_a_variable_goes_before_the_checkout_s_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WDR_DATA", str(tmp_path / "logs"))
    assert local_runner.path_from_environment("WDR_DATA", "runs/data") == tmp_path / "logs"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WDR_DATA", "logs")
    assert local_runner.path_from_environment("WDR_DATA", "runs/data") == tmp_path / "logs"


def test_a_checkout_has_folders_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WDR_WORKSPACE", raising=False)
    assert local_runner.workspace_from_environment().root == ROOT / "runs" / "workspace"


def test_an_installed_package_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local_runner, "ROOT", tmp_path)  # the folder of the installed packages: no pyproject.toml
    monkeypatch.delenv("WDR_WORKSPACE", raising=False)
    with pytest.raises(InputError) as error:
        local_runner.workspace_from_environment()
    assert str(error.value) == (
        f"WDR_WORKSPACE must be set where the project runs without its checkout. Received: nothing ({tmp_path})"
    )
