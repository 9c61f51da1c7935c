"""Whether `wdr try` orders configs as whole runs do: `python -m benchmarks.try_order`.

Six configs, each changed for the worse, are compared with the config that they were made from: by a whole `wdr run` of
each in a workspace of its own, and by `wdr try`, which draws 20,000 rows. The models of the whole runs are compared as
exported, on the same evaluation rows. The last column says whether the trial's change has the sign of the whole runs',
where the interval of that excludes zero. Both start cold, on one simulated day.
"""

from __future__ import annotations

import argparse
import copy
import glob
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.table import Table

from components.evaluation.results import Estimate
from components.evaluation.scoring.scores import compute_scores, read_rows
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from pipeline.trial.trial import Scored, Trained, compared, try_configs
from pipeline.workspace import Workspace
from transform.config.config_file import load_config

CONFIG = Path(__file__).parent.parent / "configs" / "app_store.yaml"

#: The name of the config that the others are compared with.
REFERENCE = "as it is"

#: The changes by name: the value of each key, given by its path.
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "deep part alone": {"model.parts": "deep"},
    "no crosses": {"crosses": []},
    "slow wide part": {"training.wide_optimizer.learning_rate": 0.001},
    "deep part alone, slow": {"model.parts": "deep", "training.deep_optimizer.learning_rate": 0.001},
    "both parts slow": {
        "training.wide_optimizer.learning_rate": 0.001,
        "training.deep_optimizer.learning_rate": 0.0001,
    },
    "strong L1": {"training.wide_optimizer.l1": 0.1},
}

#: So that a model can learn what goes with what from the rows of a trial.
NUM_USERS, NUM_APPS = 2_000, 200

METRICS = ("auc", "logloss")


def write_configs(folder: Path, num_units: int) -> dict[str, str]:
    """Writes the configs, with hidden layers so small that a run takes a minute; returns their paths by name."""
    base = yaml.safe_load(CONFIG.read_text())
    base["model"] |= {"hidden_units": [num_units, num_units // 2], "dropout": 0.0}
    paths = {}
    for number, (name, changes) in enumerate({REFERENCE: {}, **CHANGES}.items()):
        config = copy.deepcopy(base)
        for key, value in changes.items():
            *parents, last = key.split(".")
            section = config
            for parent in parents:
                section = section[parent]
            section[last] = value
        path = folder / f"config-{number}.yaml"
        path.write_text(yaml.safe_dump(config))
        paths[name] = str(path)
    return paths


def run_whole(config: str, data: Path, workspace: Path) -> tuple[str, str]:
    """Runs the pipeline; returns the folders of the trained SavedModel and of the raw evaluation examples."""
    command = [sys.executable, "-m", "pipeline.cli", "run", config, "--data", str(data), "--workspace", str(workspace)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (model,) = glob.glob(f"{workspace}/artifacts/trainer/model/*/Format-Serving")
    (examples,) = glob.glob(f"{workspace}/artifacts/example_gen/examples/*/Split-eval")
    return model, examples


def whole_runs(paths: Mapping[str, str], data: Path, folder: Path) -> dict[str, Trained]:
    """Runs the pipeline for each config, and compares the models on the evaluation rows."""
    user = load_config(paths[REFERENCE]).user
    found = {}
    for number, (name, path) in enumerate(paths.items()):
        model, examples = run_whole(path, data, folder / f"workspace-{number}")
        rows = read_rows(examples, [user] if user else [])
        found[name] = Scored(rows, np.asarray(compute_scores(model, rows.batches()), np.float32), 0, 0.0, 0.0)
    return compared(found, REFERENCE)


def agreement(whole: Estimate, trial: Estimate) -> str:
    """Returns whether a trial orders two models as whole runs do; empty if their interval contains zero."""
    if whole.low <= 0 <= whole.high:
        return ""
    return "yes" if whole.value * trial.value > 0 else "NO"


def main() -> None:
    """Runs both, and prints the table; exits with 1 if an order differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", type=int, default=60_000, help="of the simulated day")
    parser.add_argument("--rows", type=int, default=20_000, help="that the trial draws")
    parser.add_argument("--units", type=int, default=64, help="of the first hidden layer")
    arguments = parser.parse_args()
    table = Table(box=None)
    for header in ("change", "metric", "whole runs", "wdr try", "same order"):
        table.add_column(header)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        simulate(
            folder / "data",
            num_days=1,
            impressions_per_day=arguments.impressions,
            num_users=NUM_USERS,
            num_apps=NUM_APPS,
        )
        paths = write_configs(folder, arguments.units)
        configs = {name: load_config(path) for name, path in paths.items()}
        scratch = Workspace.at(folder / "scratch")
        trial = try_configs(configs, str(folder / "data"), scratch, reference=REFERENCE, num_rows=arguments.rows)
        whole = whole_runs(paths, folder / "data", folder)
    orders = []
    for name in CHANGES:
        for metric in METRICS:
            changes = whole[name].changes[metric], trial[name].changes[metric]
            orders.append(agreement(*changes))
            table.add_row(name, metric, *(f"{c.value:+.4f} ± {c.half_width:.4f}" for c in changes), orders[-1])
    console_for(sys.stdout).print(table)
    sys.exit("NO" in orders)


if __name__ == "__main__":
    main()
