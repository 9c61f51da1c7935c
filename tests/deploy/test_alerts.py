"""The alerts fire when they must, according to Prometheus' own tool."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.debian import installed
from tests.deploy.manifests import dashboard_expressions
from tests.e2e.store import ROOT

pytestmark = pytest.mark.slow  # it may have to install Prometheus


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "deploy/prometheus/alerts.yaml"),
        ("test", "rules", "tests/deploy/alerts_test.yaml"),
        ("test", "rules", "tests/deploy/serving_alerts_test.yaml"),
    ],
    ids=["syntax", "when they fire", "when those on serving fire"],
)
def test_the_alerts_by_promtool(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [installed("promtool", "prometheus"), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_s_expressions_are_valid(tmp_path: Path) -> None:
    expressions = dashboard_expressions().values()
    rules = [{"record": f"panel:{i}", "expr": expression} for i, expression in enumerate(expressions)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [installed("promtool", "prometheus"), "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
