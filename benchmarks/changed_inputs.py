"""Ten days on which the model's inputs change, each warm-started: `python -m benchmarks.changed_inputs`.

Each day of the shipped store is trained three times: in a chain whose config changes (`CHANGES`: features, counts and a
cross are added and removed, embeddings grow), in one whose config stays as on day 1, and cold with the day's config.
Day 7 has twice the impressions, so that the automatic batch size doubles, and halves again two days later. All
optimizers are the defaults. The three models score the day's evaluation rows. The table has the changed chain's AUC and
log loss minus those of each other model, with 95 % intervals, and says where it is worse beyond one.

Where it is worse than the unchanged chain, the inputs may be at fault, or their change. Such a day is trained once more
in a chain that has its inputs from day 1: the changed chain minus this one is the change's cost, this one minus the
unchanged chain the inputs' worth.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.transformed import Transformed, serving_model_dir, transform_span
from components.evaluation.metrics.paired import compute_metrics, differences
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from trainer.training.evaluation import logits_function
from trainer.warm_start.warm_start import save_warm_start
from transform.config.config import Config
from transform.config.config_file import parse_config, parse_yaml

CONFIG = Path(__file__).parents[1] / "configs" / "app_store.yaml"
NUM_DAYS, LARGE_DAY = 10, 7

#: Left out of the config of day 1, so that a day can add them.
_LATER_FEATURES = ("rating", "developer")
_LATER_CROSS = ["hour", "category"]

#: The normal distribution's 97.5 % quantile.
_Z = 1.96

Sections = dict[str, Any]


def base_sections() -> Sections:
    """The shipped config without `_LATER_FEATURES` and `_LATER_CROSS`, with default optimizers and batch size."""
    sections = parse_yaml(CONFIG.read_text(), str(CONFIG))
    sections["features"] = [f for f in sections["features"] if f["name"] not in _LATER_FEATURES]
    sections["crosses"] = [c for c in sections["crosses"] if c["features"] != _LATER_CROSS]
    for key in ("batch_size", "wide_optimizer", "deep_optimizer"):
        del sections["training"][key]
    return sections


def _later(sections: Sections, *names: str) -> None:
    shipped = parse_yaml(CONFIG.read_text(), str(CONFIG))["features"]
    sections["features"] = [f for f in sections["features"] if f["name"] not in _LATER_FEATURES]
    sections["features"] += [feature for feature in shipped if feature["name"] in names]


#: By day: what changes on it, and stays. What is removed had been added: no day has fewer inputs than day 1.
CHANGES: Mapping[int, tuple[str, Any]] = {
    2: ("+ developer", lambda s: _later(s, "developer")),
    3: ("+ rating", lambda s: _later(s, *_LATER_FEATURES)),
    4: ("+ counts of app_id", lambda s: s.update(count_encodings=[{"features": ["app_id"]}])),
    5: ("- developer", lambda s: _later(s, "rating")),
    6: ("+ hour × category", lambda s: s["crosses"].append({"features": _LATER_CROSS, "min_count": 10})),
    7: ("twice the rows", lambda s: None),
    8: ("- counts", lambda s: s.pop("count_encodings")),
    9: ("embeddings 32 to 40", lambda s: s["model"].update(embedding_dim=40)),
    10: ("+ developer, - rating", lambda s: _later(s, "developer")),
}


@dataclasses.dataclass(frozen=True)
class Scored:
    """A model's scores on a day's evaluation rows, float64 `[rows]`, and their labels."""

    label: np.ndarray
    score: np.ndarray
    batch_size: int | None


def train(day: Transformed, seed: int, folder: Path, base_model: str | None) -> tuple[Scored, str]:
    """Trains a day's model and scores the day's evaluation rows; returns the scores, and where a warm start reads."""
    training = dataclasses.replace(day.config.training, seed=seed)
    prepared = day.prepare(dataclasses.replace(day.config, training=training), base_model)
    prepared.train()
    logits_of = logits_function(prepared.model)
    batches = [(logits_of(features).numpy(), labels.numpy()) for features, labels, _ in prepared.eval_data]
    logits, labels = (np.concatenate(parts).astype(np.float64) for parts in zip(*batches, strict=True))
    saved = str(serving_model_dir(folder))
    trained = (prepared.model, prepared.optimizers, day.config.spec, prepared.config.training)
    save_warm_start(*trained, prepared.transform_state, saved)
    return Scored(labels, 1 / (1 + np.exp(-logits)), prepared.config.training.batch_size), saved


def configs() -> Iterator[tuple[int, str, Config]]:
    """Yields each day, what changes on it, and its config."""
    sections = base_sections()
    for day in range(1, NUM_DAYS + 1):
        change, apply = CHANGES.get(day, ("", lambda s: None))
        apply(sections)
        yield day, change, parse_config(copy.deepcopy(sections), f"{CONFIG} as of day {day}")


def compared(changed: Scored, other: Scored) -> tuple[str, str, bool]:
    """Returns the differences in AUC and log loss, as texts, and whether one of them is worse beyond its interval."""
    if not np.array_equal(changed.label, other.label):
        raise RuntimeError("both models must score the same rows; received others in number or order")
    rows = np.arange(changed.label.size)
    found = differences(changed.label, np.ones(rows.size), rows, changed.score, other.score)
    auc, loss = found["auc"], found["logloss"]
    is_worse = auc.estimate + _Z * auc.standard_error < 0 or loss.estimate - _Z * loss.standard_error > 0
    texts = [f"{d.estimate:+.4f} ± {_Z * d.standard_error:.4f}" for d in (auc, loss)]
    return texts[0], texts[1], is_worse


def verdict(worse: Mapping[str, Sequence[int]]) -> str:
    """Returns a sentence for each chain compared with, by name, of the days that are worse beyond the interval."""
    return "\n".join(
        f"worse than {other} beyond the interval on {len(days)} of {NUM_DAYS - 1} days"
        + (f": {', '.join(map(str, days))}" if days else "")
        for other, days in worse.items()
    )


class _Chains:
    """The chains, day by day, in a folder."""

    def __init__(self, folder: Path, impressions: int, seed: int) -> None:
        self._folder, self._data, self._seed = folder, folder / "data", seed
        self._bases: dict[str, str | None] = dict.fromkeys(("changed", "unchanged"))
        self._unchanged = parse_config(base_sections(), str(CONFIG))
        for first, last in ((1, LARGE_DAY - 1), (LARGE_DAY, LARGE_DAY), (LARGE_DAY + 1, NUM_DAYS)):
            rows = impressions * (2 if first == LARGE_DAY else 1)
            days: dict[str, Any] = {"first_day": first, "num_days": last - first + 1, "impressions_per_day": rows}
            simulate(self._data, **days, seed=seed, num_users=5000, num_apps=1000)

    def scored(self, day: int, config: Config) -> dict[str, Scored]:
        """Trains a day's three models; returns their scores by chain."""
        windows = {
            chain: transform_span(of_chain, self._data, self._folder / chain, day)
            for chain, of_chain in (("changed", config), ("unchanged", self._unchanged))
        }
        models, found = self._folder / "models", {}
        for chain, window in windows.items():
            folder = models / chain / str(day)
            found[chain], self._bases[chain] = train(window, self._seed, folder, self._bases[chain])
        found["cold"], _ = train(windows["changed"], self._seed, models / "cold", None)
        return found

    def always(self, day: int, config: Config) -> Scored:
        """Trains a chain that has a day's inputs from day 1; returns its scores on that day."""
        folder, base_model, found = self._folder / f"always-{day}", None, []
        for earlier in range(1, day + 1):
            window = transform_span(config, self._data, folder, earlier)
            scored, base_model = train(window, self._seed, folder / "models" / str(earlier), base_model)
            found.append(scored)
        return found[-1]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", type=int, default=30_000, help="a day")
    parser.add_argument("--seed", type=int, default=1, help="of the store and of the trainings")
    arguments = parser.parse_args()
    table = Table(title="the changed chain's metrics minus another's, on each day's evaluation rows")
    for column in ("day", "change", "batch", "AUC", "compared with", "AUC", "log loss", ""):
        table.add_column(column)
    worse: dict[str, list[int]] = {"unchanged": [], "cold": []}
    with tempfile.TemporaryDirectory() as name:
        chains = _Chains(Path(name), arguments.impressions, arguments.seed)
        for day, change, config in configs():
            scored = chains.scored(day, config)
            if day == 1:
                continue
            changed = scored["changed"]
            auc = compute_metrics(changed.label, np.ones(changed.label.size), changed.score)["auc"]
            about = [str(day), change, str(changed.batch_size), f"{auc:.4f}"]
            for other, days in worse.items():
                *texts, is_worse = compared(changed, scored[other])
                days += [day] * is_worse
                table.add_row(*about, other, *texts, "worse" if is_worse else "")
                about = [""] * len(about)
            if day in worse["unchanged"]:
                same_inputs = chains.always(day, config)
                table.add_row(*about, "these inputs from day 1", *compared(changed, same_inputs)[:2], "the change")
                of_inputs = compared(same_inputs, scored["unchanged"])[:2]
                table.add_row(*about, "these inputs, minus unchanged", *of_inputs, "the inputs")
    console_for(sys.stdout).print(table)
    print(verdict(worse))


if __name__ == "__main__":
    main()
