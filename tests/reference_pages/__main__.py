"""Writes the reference's tables of config keys and of documents, and all JSON schemas.

`python -m tests.reference_pages --write`; a test fails where one of them is not what the dataclasses say.
"""

from __future__ import annotations

import argparse

from tests.reference_pages import config_keys, json_documents
from tests.reference_pages.markers import rewritten


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write pages and schemas")
    parser.parse_args()
    for written in (config_keys, json_documents):
        page = rewritten(written.PAGE.read_text(encoding="utf-8"), written.to_markdown())
        written.PAGE.write_text(page, encoding="utf-8")
    config_keys.SCHEMA.write_text(config_keys.schema_text(), encoding="utf-8")
    json_documents.FOLDER.mkdir(exist_ok=True)
    for file in json_documents.FOLDER.glob("*.json"):
        file.unlink()
    for name, text in json_documents.schemas().items():
        (json_documents.FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
