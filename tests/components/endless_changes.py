"""`python -m tests.components.endless_changes ROOT` changes a serving folder until it is killed."""

from __future__ import annotations

import os
import sys

from components import storage
from components.model_store.manifest import Manifest
from components.model_store.retention import remove_old
from components.model_store.rollback import roll_back
from components.model_store.versions import add_version, locked

FILES = {"saved_model.pb": "graph", "variables/variables.index": "index", "assets.extra/config.json": "{}"}


def fill(folder: str) -> None:
    for name, content in FILES.items():
        storage.write_text(os.path.join(folder, name), content)


def main() -> None:
    (root,) = sys.argv[1:]
    while True:
        with locked(root):  # like a push
            add_version(root, fill, Manifest())
            remove_old(root, keep=2)
        roll_back(root, "a test")


if __name__ == "__main__":
    main()
