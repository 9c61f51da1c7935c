"""The expected result of ingesting the small store's logs, in plain Python."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.components.ingestion.logs import CATALOG, GOOD, IMPRESSIONS, INSTALLS, USERS

#: Catalog and users by key; the first of the two rows of `a1`.
PRICES = {row["app"]: row for row in CATALOG[:3]}
OWNERS = {row["user"]: row for row in USERS}


def split_of(request: str) -> str:
    """Returns eval if the first 64 bits of the request's BLAKE2b, as a fraction of all, are below eval_fraction."""
    return "eval" if _fraction(request) < 0.5 else "train"


def shares_label(row: dict[str, Any]) -> bool:
    """Returns whether an install can label this training row and an evaluation row: same user and app within 100 s."""
    pair = [other for other in IMPRESSIONS[:GOOD] if (other["user"], other["app"]) == (row["user"], row["app"])]
    near = [other for other in pair if abs(other["time"] - row["time"]) <= 100]
    return split_of(row["request"]) == "train" and any(split_of(other["request"]) == "eval" for other in near)


def fold_of(installs_keys: str) -> int:
    """Returns the fold, from the hash of the installs' keys in eighths."""
    return int(_fraction(f"fold/{installs_keys}") * 8)


def _fraction(key: str) -> float:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


def label_of(row: dict[str, Any]) -> int:
    times = [i["at"] for i in INSTALLS if (i["user"], i["app"]) == (row["user"], row["app"])]
    return int(any(row["time"] <= at <= row["time"] + 100 for at in times))


def expected_example(row: dict[str, Any]) -> dict[str, list[Any]]:
    """Returns an impression's tf.Example; missing values have no entry."""
    values: dict[str, list[Any]] = {
        "app": [row["app"]],
        "page": [row["page"]],
        "label": [label_of(row)],
        "impression_id": [row["impression"]],
        "request_id": [row["request"]],
        "timestamp": [int(row["time"])],
        "span": [0],
        "fold": [fold_of(repr([row["user"], row["app"]]))],
        "shares_label": [int(shares_label(row))],
    }
    catalog, owner = PRICES.get(row["app"], {}), OWNERS.get(row["user"], {})
    for name, value in (("price", catalog.get("price")), ("title", catalog.get("title"))):
        if value is not None:
            values[name] = [value]
    if owner.get("owned"):
        values["owned"] = list(owner["owned"])
    return values


def expected_examples() -> dict[str, dict[str, dict[str, list[Any]]]]:
    """Returns the examples by split, then by impression id."""
    result: dict[str, dict[str, dict[str, list[Any]]]] = {"train": {}, "eval": {}}
    for row in IMPRESSIONS[:GOOD]:
        result[split_of(row["request"])][row["impression"]] = expected_example(row)
    return result
