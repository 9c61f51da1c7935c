"""Builds the wheel `wide-deep-ranker-client`: `python deploy/client/build.py --out dist`.

The product's own modules are the client: those of `serving.ranking_client` and `serving.serving_log`, and the few that
they share with the model server. In the wheel all of them are modules of one package, `wide_deep_ranker_client`, those
of the log in a folder of it; nothing but the names of their imports differs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PACKAGE = "wide_deep_ranker_client"

#: The client's packages in the product, each with its folder in the wheel's package, and by module of another package
#: that they import, its name in the wheel.
CLIENT = {"serving.ranking_client": "", "serving.serving_log": "serving_log"}
SHARED = {
    "serving.credential_files": "credential_files",
    "serving.message_tables": "message_tables",
    "transform.errors": "user_errors",
    "transform.signature_names": "signature_names",
}


def renamed(source: str) -> str:
    """Returns a module's source with the names that its imports have in the wheel."""
    for module, name in (CLIENT | SHARED).items():
        source = re.sub(rf"\b{re.escape(module)}\b", f"{PACKAGE}.{name}".rstrip("."), source)
    return source


def gather(folder: Path) -> None:
    """Writes the wheel's project into a folder."""
    package = folder / PACKAGE
    files = {f"{name}.py": (ROOT / Path(*module.split("."))).with_suffix(".py") for module, name in SHARED.items()}
    for module, name in CLIENT.items():
        (package / name).mkdir()
        files |= {f"{name}/{path.name}": path for path in (ROOT / Path(*module.split("."))).glob("*.py")}
    for name, path in files.items():
        (package / name.lstrip("/")).write_text(renamed(path.read_text(encoding="utf-8")), encoding="utf-8")
    (package / "py.typed").touch()
    for path in (Path(__file__).with_name("pyproject.toml"), Path(__file__).with_name("README.md"), ROOT / "LICENSE"):
        shutil.copy(path, folder)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (folder / "VERSION").write_text(project["version"] + "\n", encoding="utf-8")


def build(out: Path) -> Path:
    """Builds the wheel, without network; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        project, built = Path(temporary) / "project", Path(temporary) / "built"
        project.mkdir()
        gather(project)
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(built)]
        subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(project)], check=True)
        (wheel,) = built.iterdir()
        return Path(shutil.copy(wheel, out))


def main() -> None:
    """Builds the wheel into a folder and prints its path."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="The folder to write to.")
    sys.stdout.write(f"{build(parser.parse_args().out)}\n")


if __name__ == "__main__":
    main()
