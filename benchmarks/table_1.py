"""The offline column of the paper's Table 1: `python -m benchmarks.table_1 --frappe DIR`.

Trains the wide part alone, the deep part alone and both jointly, with several seeds each, on Frappe and on the
simulated store; prints AUC and logistic loss on the examples held out for evaluation. On Frappe, these examples also
choose the epoch (`training.patience`; with count encodings, no training examples are held out), in every row of the
table: its metrics are optimistic. The store's epochs are fixed. The features are divided as in
the paper's figure 4: crosses and counts, which memorize combinations, belong to the wide part only, and the single
features to the deep part only. Each config is also trained unchanged. Frappe's data, the files that
docs/tutorials/your_own_logs.md names, is read from DIR; the store is simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.transformed import Transformed, transform_span
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.config.settings import Parts

CONFIGS = Path(__file__).parent.parent / "configs"
PARTS: tuple[Parts, ...] = ("wide", "deep", "wide_and_deep")

#: Enough impressions per user and app that a model can memorize combinations, as in a real store's log.
NUM_IMPRESSIONS = 600_000
NUM_USERS = 3_000
NUM_APPS = 300


@dataclasses.dataclass(frozen=True)
class Trained:
    """One training: its validation metrics, and its duration."""

    auc: float
    logloss: float
    seconds: float


def variants(config: Config) -> dict[str, Config]:
    """Returns the configs to train, by the name of the table's row."""
    spec = dataclasses.replace(
        config.spec,
        features=tuple(dataclasses.replace(feature, parts=("deep",)) for feature in config.spec.features),
        count_encodings=tuple(dataclasses.replace(count, parts=("wide",)) for count in config.spec.count_encodings),
    )
    models = {parts: dataclasses.replace(config.model, parts=parts, count_dropout=0.0) for parts in PARTS}
    divided = {
        parts.replace("_and_", " & "): dataclasses.replace(config, spec=spec, model=model)
        for parts, model in models.items()
    }
    return divided | {f"configs/{config.name}.yaml": config}


def train(data: Transformed, config: Config, seed: int, folder: Path) -> Trained:
    """Trains one model."""
    seeded = dataclasses.replace(config, training=dataclasses.replace(config.training, seed=seed))
    start = time.perf_counter()
    validation = data.train(seeded, folder).validation
    assert validation.auc is not None, "the evaluation split must have both labels"
    assert validation.logloss is not None, "an evaluation example must have a weight above 0"
    return Trained(validation.auc, validation.logloss, time.perf_counter() - start)


def show(console: Console, name: str, trained: dict[str, list[Trained]]) -> None:
    """Prints one data set's table, and the joint model's AUC minus that of each part."""
    table = Table(title=name)
    for column in ("model", "AUC, mean", "lowest to highest", "logloss, mean", "lowest to highest", "seconds, mean"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for row, models in trained.items():
        aucs, losses = [m.auc for m in models], [m.logloss for m in models]
        table.add_row(
            row,
            f"{statistics.mean(aucs):.4f}",
            f"{min(aucs):.4f} to {max(aucs):.4f}",
            f"{statistics.mean(losses):.4f}",
            f"{min(losses):.4f} to {max(losses):.4f}",
            f"{statistics.mean(m.seconds for m in models):.0f}",
        )
    console.print(table)
    aucs_of = {row: [m.auc for m in models] for row, models in trained.items()}
    for part in ("wide", "deep"):
        both = aucs_of["wide & deep"], aucs_of[part]
        above = statistics.mean(both[0]) - statistics.mean(both[1])
        spread = max(max(aucs) - min(aucs) for aucs in both)
        console.print(f"wide & deep is {above:+.4f} above {part}; the seeds of either differ by up to {spread:.4f}")


def run(console: Console, config: Config, data_root: Path, folder: Path, seeds: range) -> None:
    """Transforms one data set and trains all models on it, seed by seed, so that noise affects all models alike."""
    data = transform_span(config, data_root, folder / "workspace")
    configs = variants(config)
    trained: dict[str, list[Trained]] = {row: [] for row in configs}
    for seed in seeds:
        for row, variant in configs.items():
            with tempfile.TemporaryDirectory(dir=folder) as model:
                trained[row].append(train(data, variant, seed, Path(model)))
            done = trained[row][-1]
            console.print(f"seed {seed}, {row}: AUC {done.auc:.4f}, logloss {done.logloss:.4f}, {done.seconds:.0f} s")
    show(console, f"{config.name}, {len(seeds)} seeds", trained)


def main() -> None:
    """Runs both data sets, or the one named by `--only`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("frappe", "app_store"), help="this data set alone")
    parser.add_argument("--frappe", type=Path, metavar="DIR", help="the folder of Frappe's files")
    parser.add_argument("--impressions", type=int, default=NUM_IMPRESSIONS, help="of the simulated store")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.only != "app_store" and not arguments.frappe:
        parser.error("--frappe DIR is required, or --only app_store")
    console = console_for(sys.stdout)
    seeds = range(1, arguments.seeds + 1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "app_store":
            frappe = Path(folder) / "frappe"
            frappe.mkdir()
            run(console, load_config(CONFIGS / "frappe.yaml"), arguments.frappe.resolve(), frappe, seeds)
        if arguments.only != "frappe":
            store = Path(folder) / "store"
            simulate(
                store,
                num_days=1,
                impressions_per_day=arguments.impressions,
                num_users=NUM_USERS,
                num_apps=NUM_APPS,
            )
            config = load_config(CONFIGS / "app_store.yaml")
            config = dataclasses.replace(config, ingestion=dataclasses.replace(config.ingestion, window_spans=1))
            run(console, config, store, Path(folder), seeds)


if __name__ == "__main__":
    main()
