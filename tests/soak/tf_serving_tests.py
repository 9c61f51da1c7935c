"""Runs TF Serving's own Python test of its server against this project's server.

    git clone https://github.com/tensorflow/serving
    python -m tests.soak.tf_serving_tests serving [TEST ...]

The test is the checkout's unmodified `tensorflow_serving/model_servers/tensorflow_model_server_test.py`, with the
models beside it. Instead of `tensorflow_model_server`, it starts a script in a temporary folder, which starts this
server (`options_for`); nothing else is replaced. Prints a table, and exits with code 1 if an applicable
test fails (all apply but those of `NOT_APPLICABLE`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]

#: The option of `wdr serve` for each flag of TF Serving; None for a flag that is ignored.
FLAGS = {
    "port": "--grpc-port",
    "rest_api_port": "--rest-port",
    "model_config_file": "--model-config-file",
    "model_config_file_poll_wait_seconds": "--model-config-poll-seconds",
    "monitoring_config_file": "--monitoring-config-file",
    "rest_api_timeout_in_ms": "--timeout-seconds",  # here also of gRPC's calls without a deadline
    "grpc_socket_path": None,
    "enable_batching": None,
    "batching_parameters_file": None,
}

#: The flag that has channel arguments; and by argument, the option for it, in milliseconds there, in seconds here. None
#: for one that means nothing to a server.
_CHANNEL_ARGUMENTS = "grpc_channel_arguments"
CHANNEL_ARGUMENTS = {"grpc.max_connection_age_ms": "--connection-age-seconds", "grpc.lb_policy_name": None}

#: Why a test does not apply to this server, by test.
NOT_APPLICABLE = {
    "testPredictUDS": "there is no Unix socket",
    "testPredictOnTfLite": "TF Lite's models are not served; and their files are not in TF Serving's repository",
    "testPredictWithSignatureDefOnTfLite": "as above",
    "test_profiler_service_with_valid_trace_request": "there is no profiler's service",
    "test_tf_text": "the model needs the operations of TF Text, which are not in TensorFlow",
}

#: A method of TensorFlow's base class that tests nothing.
_NO_TEST = "test_session"


def options_for(arguments: list[str]) -> list[str]:
    """Returns the options of `wdr serve` that are equivalent to TF Serving's flags.

    Raises:
      KeyError: If a flag, or a channel argument, is in none of the tables.
    """
    # The checkout's models, and those that the test has just saved, have no manifest.
    options = ["--settle-seconds", "0"]
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
    if name := flags.pop("model_name", ""):
        options += ["--model", f"{name}={flags.pop('model_base_path')}"]
    for argument in filter(None, flags.pop(_CHANNEL_ARGUMENTS, "").split(",")):
        key, _, value = argument.partition("=")
        if option := CHANNEL_ARGUMENTS[key]:
            options += [option, str(int(value) / 1000)]
    for flag, value in flags.items():
        if option := FLAGS[flag]:
            options += [option, str(int(value) / 1000) if flag.endswith("_in_ms") else value]
    return options


def start_server(arguments: list[str]) -> None:
    """Replaces the `tensorflow_model_server` that the test starts: becomes `wdr serve` with equivalent options."""
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "serving.model_server", *options_for(arguments)])


def _lay_out(folder: Path, checkout: Path) -> None:
    """Creates a folder as Bazel would: the checkout's files, and the server's script."""
    package = folder / "tf_serving" / "tensorflow_serving"
    (package / "model_servers").mkdir(parents=True)
    (package / "servables").symlink_to(checkout / "tensorflow_serving" / "servables")
    script = package / "model_servers" / "tensorflow_model_server"
    script.write_text(
        f"#!/usr/bin/env -S {sys.executable}\n"
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.soak.tf_serving_tests import start_server\nstart_server(sys.argv[1:])\n",
        encoding="utf-8",
    )
    script.chmod(0o755)


def _cases(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for found in suite:
        if isinstance(found, unittest.TestSuite):
            yield from _cases(found)
        else:
            yield found


def _run_inside(checkout: Path, results: Path, names: list[str]) -> None:
    """Runs the tests in this process, whose environment is set up for them; writes each one's outcome."""
    import absl.flags
    import tensorflow_serving

    absl.flags.FLAGS(["tf_serving_tests"])
    tensorflow_serving.__path__.append(str(checkout / "tensorflow_serving"))
    module = importlib.import_module("tensorflow_serving.model_servers.tensorflow_model_server_test")
    found = unittest.defaultTestLoader.loadTestsFromTestCase(module.TensorflowModelServerTest)
    cases = {case.id().rpartition(".")[2]: case for case in _cases(found)}
    outcomes = {}
    for name, case in cases.items():
        if name == _NO_TEST or (names and name not in names):
            continue
        if name in NOT_APPLICABLE:
            outcomes[name] = "does not apply"
            continue
        result = unittest.TextTestRunner(verbosity=2).run(case)
        outcomes[name] = "passes" if result.wasSuccessful() and not result.skipped else "fails"
        results.write_text(json.dumps(outcomes), encoding="utf-8")
    results.write_text(json.dumps(outcomes), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="A checkout of TF Serving.")
    parser.add_argument("tests", nargs="*", help="Names of tests; none for all.")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    if arguments.inside:
        _run_inside(checkout, arguments.inside, arguments.tests)
        return 0
    if not (checkout / "tensorflow_serving" / "model_servers" / "tensorflow_model_server_test.py").is_file():
        parser.error(f"CHECKOUT must be a checkout of TF Serving. Received: {checkout}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _lay_out(folder, checkout)
        (folder / "tmp").mkdir()
        environment = os.environ | {
            "TEST_SRCDIR": name,
            "TEST_TMPDIR": str(folder / "tmp"),
            "TF_USE_LEGACY_KERAS": "1",  # its models get a signature from `tf.saved_model.save`, as the test expects
            "PYTHONPATH": str(ROOT),
        }
        results = folder / "results.json"
        command = [sys.executable, "-m", "tests.soak.tf_serving_tests", str(checkout), *arguments.tests]
        done = subprocess.run([*command, "--inside", str(results)], cwd=ROOT, env=environment, check=False)
        outcomes: dict[str, str] = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    table = Table("test", "outcome", "why")
    for test, outcome in outcomes.items():
        table.add_row(test, outcome, NOT_APPLICABLE.get(test, ""))
    console = Console()
    console.print(table)
    counts = {kind: list(outcomes.values()).count(kind) for kind in ("passes", "fails", "does not apply")}
    console.print(f"{counts['passes']} pass, {counts['fails']} fail, {counts['does not apply']} do not apply")
    return int(done.returncode != 0 or counts["fails"] > 0 or not counts["passes"])


if __name__ == "__main__":
    sys.exit(main())
