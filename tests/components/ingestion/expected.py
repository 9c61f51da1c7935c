"""What ingestion must make of the small store's logs, in plain Python."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.components.ingestion.logs import CATALOG, GOOD, IMPRESSIONS, INSTALLS, USERS

#: Catalog and users by key; of the two rows of `a1` the first.
PRICES = {row["app"]: row for row in CATALOG[:3]}
OWNERS = {row["user"]: row for row in USERS}


def split_of(request: str) -> str:
    """The first 64 bits of the request's BLAKE2b, as a fraction of all: below eval_fraction is eval."""
    fraction = int.from_bytes(hashlib.blake2b(request.encode(), digest_size=8).digest(), "big") / 2**64
    return "eval" if fraction < 0.5 else "train"


def label_of(row: dict[str, Any]) -> int:
    times = [i["at"] for i in INSTALLS if (i["user"], i["app"]) == (row["user"], row["app"])]
    return int(any(row["time"] <= at <= row["time"] + 100 for at in times))


def expected_example(row: dict[str, Any]) -> dict[str, list[Any]]:
    """The tf.Example of an impression, features without a value left out."""
    values: dict[str, list[Any]] = {
        "app": [row["app"]],
        "page": [row["page"]],
        "label": [label_of(row)],
        "impression_id": [row["impression"]],
        "request_id": [row["request"]],
        "timestamp": [int(row["time"])],
    }
    catalog, owner = PRICES.get(row["app"], {}), OWNERS.get(row["user"], {})
    for name, value in (("price", catalog.get("price")), ("title", catalog.get("title"))):
        if value is not None:
            values[name] = [value]
    if owner.get("owned"):
        values["owned"] = list(owner["owned"])
    return values


def expected_examples() -> dict[str, dict[str, dict[str, list[Any]]]]:
    """By split, then by impression id."""
    result: dict[str, dict[str, dict[str, list[Any]]]] = {"train": {}, "eval": {}}
    for row in IMPRESSIONS[:GOOD]:
        result[split_of(row["request"])][row["impression"]] = expected_example(row)
    return result
