"""The config of the days that are served: the store's, with the serving log in place of its logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: The folder of a day's export below the data, as the served days' config has it.
SERVED = "served/day-{SPAN}"

#: Installs are at once in the simulated store, so that every label is known when the day ends.
_ATTRIBUTION_SECONDS = 600

_SOURCES: dict[str, dict[str, Any]] = {
    "impressions": {
        "path": f"{SERVED}/*/impressions-*.parquet",
        "format": "serving_log",
        "impression_id": "impression_id",
        "request_id": "request_id",
        "timestamp": "timestamp",
    },
    "installs": {
        "path": f"{SERVED}/*/events-*.parquet",
        "format": "serving_log",
        "keys": ["request_id", "item_id"],
        "timestamp": "timestamp",
        "attribution_seconds": _ATTRIBUTION_SECONDS,
        "leave_out_unknown_labels": False,
    },
}


def write_served_config(keys: dict[str, Any], path: Path) -> None:
    """Writes the config of the served days; a feature that reads the logs' `position` reads that of the events.

    Args:
      keys: The store's config as it is written.
      path: The file to write.
    """
    features = [
        {**feature, "column": "log.position"} if feature.get("column", feature["name"]) == "position" else feature
        for feature in keys["features"]
    ]
    served = {**keys, "sources": {**keys["sources"], **_SOURCES}, "features": features}
    path.write_text(yaml.safe_dump(served, sort_keys=False), encoding="utf-8")
