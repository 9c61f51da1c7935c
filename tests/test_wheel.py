"""A wheel of the project, installed without its checkout: its files, and the commands that need them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What a build reads of the checkout.
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
FOLDERS = ("components", "configs", "deploy", "docs", "pipeline", "serving", "tests", "trainer", "transform")


def run(*command: str | Path, cwd: Path) -> str:
    """Runs a command, which must succeed; returns its standard output."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built in a copy of the checkout."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.tar.xz", "*.png"))
    options: list[str | Path] = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out]
    run(sys.executable, "-m", "pip", "wheel", *options, copy, cwd=out)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the locked dependencies; the checkout is not on its path.

    The line of a `.pth` file adds the folder with the dependencies to the path, but reads no `.pth` files there, such
    as the one by which this checkout is installed editable.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel,
        cwd=folder,
    )  # fmt: skip
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


def installed(environment: Path) -> Path:
    """The folder of the environment's own packages."""
    (packages,) = environment.glob("lib/python*/site-packages")
    return packages


def test_the_wheel_has_the_packages_and_the_configs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "components", "configs", "pipeline", "serving", "trainer", "transform",
    }  # fmt: skip
    for folder, pattern in [("configs", "*.yaml"), *((top, "*.py") for top in tops - {"configs"})]:
        expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}
        assert expected <= set(names)


@pytest.mark.slow
def test_the_commands_work_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    wdr, packages = environment / "bin" / "wdr", installed(environment)
    imported = "import pipeline, transform; print(pipeline.__file__, transform.__file__)"
    places = run(environment / "bin" / "python", "-c", imported, cwd=tmp_path).split()
    assert places == [str(packages / name / "__init__.py") for name in ("pipeline", "transform")]
    assert "rank-service" in run(wdr, "--help", cwd=tmp_path)
    sizes = ["--days", "1", "--impressions-per-day", "500", "--users", "100", "--apps", "100"]
    run(wdr, "simulate", "--out", "data", *sizes, "--label", cwd=tmp_path)
    for name in ("app_store.yaml", "examples/1_minimal_csv.yaml"):
        checked = run(wdr, "check", packages / "configs" / name, "--data", "data", cwd=tmp_path)
        assert "impressions: 1 files, the first 500 rows read, all good" in checked
    config = packages / "configs" / "examples" / "6_airflow.yaml"
    run(wdr, "compile", config, "--target", "airflow", "--out", "dags/airflow", cwd=tmp_path)
    assert (tmp_path / "dags" / "airflow" / "airflow_dag.py").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dags", "data"]
