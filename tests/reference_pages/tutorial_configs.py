"""The configs of the tutorial `Your own logs`."""

from __future__ import annotations

import re
from typing import Any

import yaml

from components.fingerprint import ROOT

TUTORIAL_PAGE = ROOT / "docs" / "tutorials" / "your_own_logs.md"
TUTORIAL = TUTORIAL_PAGE.read_text(encoding="utf-8")


def yaml_examples() -> list[dict[str, Any]]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TUTORIAL, re.DOTALL)]
