"""Latency of `wdr serve` under a steady load, and the largest load it sustains: `python -m benchmarks.serving_load`.

`wdr load-test` sends requests of 200 candidates on schedule, from a process of its own on the same machine; a latency
counts from the scheduled time to the ranked items. The limit of the 99th percentile is the best row of the paper's
table 2: 14 ms for 200 candidates.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.served_model import add_arguments, served_version
from serving.ranking_client.settings import ClientSettings, write_settings

PAPER_MILLISECONDS = 14.0
RATE = 50.0


def load_test(settings: ClientSettings, version: Path, *options: str) -> list[dict[str, Any]]:
    """Runs `wdr load-test`; returns one report per rate, also if a search fails at its first rate."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        write_settings(settings, file.name)
        command = [
            sys.executable,
            "-m",
            "pipeline.cli",
            "load-test",
            "--settings",
            file.name,
            "--requests",
            str(version),
        ]
        run = subprocess.run([*command, *options, "--json"], stdout=subprocess.PIPE, check=False)
    reports: list[dict[str, Any]] = json.loads(run.stdout)
    return reports


def borne(report: dict[str, Any], p99_milliseconds: float) -> bool:
    """Returns whether all requests were answered, and 99 % of them in time."""
    return not report["errors"] and bool(report["milliseconds"]) and report["milliseconds"]["p99"] <= p99_milliseconds


def main() -> None:
    """Prints the latency at the steady rate, and the largest rate that meets the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60.0, help="at the steady rate")
    parser.add_argument("--search-seconds", type=float, default=20.0, help="at each rate of the search")
    parser.add_argument("--p99-ms", type=float, default=PAPER_MILLISECONDS)
    parser.add_argument("--plot", type=Path, help="plot the steady load's latencies into this file")
    arguments = parser.parse_args()
    with served_version(arguments) as (version, settings):
        common = ("--candidates", str(arguments.candidates), "--rate", str(arguments.rate))
        plot = ("--plot", str(arguments.plot)) if arguments.plot else ()
        (steady,) = load_test(settings, version, *common, "--seconds", str(arguments.seconds), *plot)
        latencies = ", ".join(f"{name} {value:.1f}" for name, value in steady["milliseconds"].items())
        print(f"{arguments.rate:g} requests/s of {arguments.candidates} candidates, ms: {latencies}")
        if steady["errors"]:
            print(f"errors: {steady['errors']}")
        verdict = "at most" if borne(steady, arguments.p99_ms) else "not at most"
        print(f"p99 is {verdict} {arguments.p99_ms:g} ms")
        search = ("--seconds", str(arguments.search_seconds), "--p99-ms", str(arguments.p99_ms))
        reports = [
            report for report in load_test(settings, version, *common, *search) if borne(report, arguments.p99_ms)
        ]
        if reports:
            best = max(reports, key=lambda report: report["requests_per_second"])
            print(
                f"largest load with that p99: {best['candidates_per_second']:,.0f} candidates/s, "
                f"{best['requests_per_second']:.0f} requests/s"
            )


if __name__ == "__main__":
    main()
