"""The client's own wheel: it ranks in an environment that has grpcio and protobuf only."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from components.fingerprint import imported_names
from deploy.client.build import PACKAGE, build
from tests.serving.ranking_client.tiny_model import CATALOG, score
from tests.serving.serving_log.logs import logged_ids, settings, totals

#: grpcio, protobuf, and what grpcio requires.
DEPENDENCIES = ("grpcio", "protobuf", "typing_extensions")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in DEPENDENCIES:
        for file in importlib.metadata.files(name) or []:
            if ".." not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                (packages / file).symlink_to(file.locate())
    interpreter = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    subprocess.run([*pip, "check"], check=True)  # nothing that the wheel requires is missing
    return interpreter


def run(python: Path, program: str, folder: Path) -> str:
    done = subprocess.run([python, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
def test_the_wheel_has_one_package_which_imports_no_other(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    modules = [name for name in archive.namelist() if name.endswith(".py")]
    assert {name.partition("/")[0] for name in modules} == {PACKAGE}
    imported = {found.partition(".")[0] for name in modules for found in imported_names(archive.read(name), PACKAGE)}
    assert imported - sys.stdlib_module_names == {PACKAGE, "google", "grpc"}


@pytest.mark.slow
def test_it_ranks_with_a_served_model(python: Path, server: str, tmp_path: Path) -> None:
    program = f"""
import json, sys
from {PACKAGE} import ClientSettings, RankingClient
with RankingClient(ClientSettings(model="tiny", server="{server}", deadline_seconds=30)) as client:
    ranking = client.rank({{"country": "us", "age": 30}}, ["app_1", ("new", {{"quality": 2.5}}), "app_2"], logits=True)
print(json.dumps([ranking.version, ranking.items, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""
    version, items, modules = json.loads(run(python, program, tmp_path))
    quality = {"app_1": CATALOG["app_1"], "new": 2.5, "app_2": CATALOG["app_2"]}
    expected = sorted(quality, key=lambda item_id: -quality[item_id])
    assert version == 1
    assert [item[0] for item in items] == expected
    assert [item[1] for item in items] == pytest.approx([score(quality[item_id], 30) for item_id in expected], abs=1e-6)
    assert [item[4] for item in items] == [item_id != "new" for item_id in expected]
    assert {"grpc", PACKAGE} <= set(modules)
    assert {"numpy", "pydantic", "serving", "tensorflow", "transform"} & set(modules) == set()


@pytest.mark.slow
def test_an_error_is_one_sentence(python: Path, tmp_path: Path) -> None:
    program = f"""
from {PACKAGE} import ClientSettings, RankingClient, RankingError
for settings, context in (({{"server": "127.0.0.1:1"}}, {{}}), ({{"version": 0}}, {{}})):
    try:
        with RankingClient(ClientSettings(model="tiny", deadline_seconds=1, max_attempts=1, **settings)) as client:
            client.rank(context, ["a"])
    except (RankingError, ValueError) as error:
        print(error)
"""
    lines = run(python, program, tmp_path).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("the model server must be reachable. Received: UNAVAILABLE")
    assert lines[1].startswith("`version` must be a whole number from 1 to ")


@pytest.mark.slow
def test_it_keeps_a_serving_log_that_the_product_reads(python: Path, server: str, tmp_path: Path) -> None:
    log = settings(tmp_path / "log")
    program = f"""
from {PACKAGE} import ClientSettings, LogSettings, RankingClient, ServingLog
with ServingLog(LogSettings("{log.folder}", "{log.key_file}")) as log:
    with RankingClient(ClientSettings(model="tiny", server="{server}", deadline_seconds=30), log) as client:
        print(client.rank({{}}, ["app_1"]).request_id)
"""
    assert run(python, program, tmp_path).split() == logged_ids(tmp_path / "log")
    assert totals(tmp_path / "log")["written"] == 1
