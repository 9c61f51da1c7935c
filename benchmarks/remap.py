"""Measures the warm start and the export of a model with a large table: time, processor time and memory.

    python -m benchmarks.remap --folder FOLDER --rows 100000 1000000 10000000

For each number of rows, makes today's vocabulary of as many tokens, and an earlier model with another one: 95 % of the
tokens are in both, in another order. The model has one large table of `--dim` columns, with the optimizer's state, and
a weight per token in the wide part, with FTRL's state; the rest is tiny. Three processes are measured, with imports:

- `remap` builds today's model and warm-starts it from the earlier one;
- `export` builds today's model, takes a step, and writes the SavedModel, the warm-start files and the wide weights;
- `trainer` is the Trainer's whole `run_fn` on a few rows: both of the above, with the training between them.

The memory is the largest resident memory of the process. A sample of the rows is compared with the earlier model's
rows, and the loaded SavedModel's scores with the model's.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np

from transform.config.settings import DeepOptimizerName

#: The share of today's tokens that the earlier vocabulary has.
_SHARE_KEPT = 0.95
_NUM_SAMPLED = 2_000
_NUM_EXAMPLES = 400
_CONFIG = "config.json"
_OWNER = "user"
_TABLES = (f"embedding/{_OWNER}", f"wide/{_OWNER}")
_PARTS = ("remap", "export", "trainer")


def read_tokens(numbers: np.ndarray) -> np.ndarray:
    """Returns a different token of 17 bytes for each number: uint8 `[numbers, 17]`."""
    hashed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two numbers are alike
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    tokens = np.empty((len(numbers), 17), np.uint8)
    tokens[:, 0] = ord("u")
    for place in range(16):
        tokens[:, place + 1] = digits[(hashed >> np.uint64(4 * place)).astype(np.intp) & 15]
    return tokens


def write_vocabulary(path: Path, numbers: np.ndarray) -> None:
    """Replaces the tokens of a learned vocabulary, except the first, which stands for a missing value."""
    missing = path.read_bytes().split(b"\n", 1)[0]
    with path.open("wb") as file:
        file.write(missing + b"\n")
        for some in np.array_split(numbers, max(1, len(numbers) // 1_000_000)):
            lines = np.full((len(some), 18), ord("\n"), np.uint8)
            lines[:, :17] = read_tokens(some)
            file.write(lines.tobytes())


def config_of(dim: int, optimizer: str) -> Any:
    """Returns a config with one large vocabulary and a tiny rest."""
    from transform.config.config_file import parse_config

    return parse_config(
        {
            "name": "remap",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
            "features": [
                {"name": _OWNER, "side": "context", "kind": "categorical", "vocabulary": {"min_count": 1}},
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"min_count": 1}},
                {"name": "price", "side": "item", "kind": "numeric", "num_quantiles": 4},
            ],
            "model": {"embedding_dim": dim, "hidden_units": [16], "dropout": 0.0},
            "training": {
                "batch_size": 64,
                "num_epochs": 1,
                "shuffle_buffer_size": 1000,
                "deep_optimizer": {"name": optimizer, "learning_rate": 0.05},
            },
            "evaluation": {"thresholds": {"auc": {"min": 0.0}}},
        },
        "benchmark",
    )


def prepare(folder: Path, rows: int, dim: int, optimizer: str) -> None:
    """Writes two transform graphs, today's examples, the earlier model's files, and a sample of what is to be found."""
    import tensorflow as tf
    import tensorflow_transform as tft

    from components.transform_executor.materialization import Materialization
    from tests.trainer.small_deployment import to_example
    from tests.transform.transformed import learn, select_parsing, write_rows
    from trainer.optimizers import JointOptimizer
    from trainer.training_size import sized
    from trainer.transform_output.state import read_transform_state
    from trainer.warm_start.warm_start import save_warm_start
    from trainer.wide_deep.model import WideDeep
    from transform.config.component_configs import for_trainer

    config, rng = config_of(dim, optimizer), np.random.default_rng(1)
    (folder / _CONFIG).write_text(for_trainer(config).to_json(), encoding="utf-8")
    num_transferred = int(rows * _SHARE_KEPT)
    earlier = rng.permutation(rows)
    today = rng.permutation(np.concatenate([earlier[:num_transferred], rows + np.arange(rows - num_transferred)]))
    examples = [_row(rng, today, i) for i in range(_NUM_EXAMPLES)]
    files = [write_rows(config, examples, folder / "raw" / f"{split}.gz") for split in ("train", "eval")]
    with tf.io.TFRecordWriter(str(folder / "requests")) as writer:
        for example in examples:
            writer.write(to_example(example, without=("label", "request_id")))
    learn(config, files, folder / "learned")
    for name, numbers in (("earlier", earlier), ("today", today)):
        shutil.copytree(folder / "learned" / "graph", folder / name)
        output = tft.TFTransformOutput(str(folder / name))
        write_vocabulary(Path(output.vocabulary_file_by_name(f"{_OWNER}_vocabulary")), numbers)
    output = tft.TFTransformOutput(str(folder / "today"))
    materialization = Materialization(output, select_parsing(config))
    for number, file in enumerate(files):
        materialization.write(file, str(folder / f"transformed-{number}.gz"))

    row_of = np.full(2 * rows, -1)
    row_of[earlier] = 1 + np.arange(rows)  # row 0 is that of a missing value
    in_both, new = np.flatnonzero(today < rows), np.flatnonzero(today >= rows)
    kept_rows, new_rows = (np.sort(rng.choice(w, min(_NUM_SAMPLED, len(w)), replace=False)) for w in (in_both, new))
    old_rows = row_of[today[kept_rows]]

    state = read_transform_state(output, config.spec)
    model = WideDeep(config.spec, config.model, state.vocabulary_sizes, config.training.seed)
    initial = {name: tf.gather(model.table_weights[name], new_rows + 1).numpy() for name in _TABLES}
    del model, state
    state = read_transform_state(tft.TFTransformOutput(str(folder / "earlier")), config.spec)
    model = WideDeep(config.spec, config.model, state.vocabulary_sizes, seed=7)
    training = sized(config.training, num_examples=_NUM_EXAMPLES)
    optimizers = JointOptimizer(model, training)
    wide = model.table_weights[f"wide/{_OWNER}"]
    wide.assign(tf.nn.relu(tf.random.stateless_normal(wide.shape, (1, 1))))  # half of the weights are zero
    sample = {"kept_rows": kept_rows + 1, "new_rows": new_rows + 1}
    for name in _TABLES:
        sample[f"initial.{name}"] = initial[name]
        variable = model.table_weights[name]
        slots = optimizers.slots(variable)
        for seed, slot in enumerate(slots.values()):
            slot.assign(tf.random.stateless_uniform(variable.shape, (2, seed), 0.1, 1.0))
        for slot_name, values in {"values": variable, **slots}.items():
            sample[f"{slot_name}.{name}"] = tf.gather(values, old_rows).numpy()
    np.savez(folder / "sample.npz", **sample)  # type: ignore[arg-type]
    save_warm_start(model, optimizers, config.spec, training, state, str(folder / "earlier_model" / "Format-Serving"))


def _row(rng: np.random.Generator, today: np.ndarray, i: int) -> dict[str, list[Any]]:
    label, token = int(rng.integers(2)), read_tokens(rng.choice(today, 1))[0].tobytes().decode()
    return {
        "user": [token],
        "app": [f"app{i % 5}"],
        "price": [float(rng.random())],
        "label": [label],
        "request_id": [str(i)],
    }


class _Stages:
    """Prints what each stage of a process took, and the process's largest memory so far."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def end(self, name: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"  {time.perf_counter() - self._start:6.1f} s  {peak / 2**30:5.2f} GiB  {name}", flush=True)


def _built(folder: Path, stages: _Stages) -> Any:
    import tensorflow_transform as tft

    from trainer.optimizers import JointOptimizer
    from trainer.training_size import sized
    from trainer.transform_output.state import read_transform_state
    from trainer.wide_deep.model import WideDeep
    from transform.config.component_settings import TrainerSettings

    stages.end("imports")
    config = TrainerSettings.from_json((folder / _CONFIG).read_text(encoding="utf-8"))
    output = tft.TFTransformOutput(str(folder / "today"))
    state = read_transform_state(output, config.spec)
    stages.end("the transform graph and the vocabularies")
    model = WideDeep(config.spec, config.model, state.vocabulary_sizes, config.training.seed)
    training = sized(config.training, num_examples=_NUM_EXAMPLES)
    optimizers = JointOptimizer(model, training)
    stages.end("the model and its optimizers")
    return config, output, state, model, optimizers, training


def remap(folder: Path) -> None:
    """Builds today's model, warm-starts it, and compares a sample of its rows."""
    import tensorflow as tf

    from trainer.warm_start.warm_start import warm_start

    stages = _Stages()
    _, _, state, model, optimizers, training = _built(folder, stages)
    report = warm_start(model, optimizers, training, state, str(folder / "earlier_model" / "Format-Serving"))
    stages.end("the warm start")
    sample = np.load(folder / "sample.npz")
    tables = report.tables.items()
    print("  rows kept:", {name: (t.kept, t.new, t.dropped, round(t.carried_norm, 4)) for name, t in tables})
    for name in _TABLES:
        variable = model.table_weights[name]
        for slot, values in {"values": variable, **optimizers.slots(variable)}.items():
            np.testing.assert_array_equal(tf.gather(values, sample["kept_rows"]).numpy(), sample[f"{slot}.{name}"])
        np.testing.assert_array_equal(tf.gather(variable, sample["new_rows"]).numpy(), sample[f"initial.{name}"])
    print(f"  {len(sample['kept_rows'])} common and {len(sample['new_rows'])} new tokens' rows are as they must be")


def export(folder: Path) -> None:
    """Builds today's model, takes a step as in training, and writes what the Trainer writes."""
    import tensorflow as tf

    from trainer.explanations.wide_weights import to_markdown
    from trainer.signatures import export_model
    from trainer.training.step import train_step
    from trainer.warm_start.warm_start import save_warm_start

    stages = _Stages()
    config, output, state, model, optimizers, training = _built(folder, stages)
    batch = _batch(folder, output)
    tf.function(lambda *args: train_step(model, optimizers, args))(*batch)
    stages.end("a step")
    directory = folder / "exported" / "Format-Serving"
    export_model(model, output, config, str(directory), transform_state=state)
    stages.end("the SavedModel")
    save_warm_start(model, optimizers, config.spec, training, state, str(directory))
    stages.end("the warm-start files")
    (folder / "exported" / "wide_weights.md").write_text(to_markdown(model, state), encoding="utf-8")
    stages.end("the wide weights")
    np.savez(folder / "exported" / "scores.npz", scores=tf.sigmoid(model.logits(batch[0])).numpy())


def _batch(folder: Path, output: Any) -> Any:
    from trainer.training.data import eval_dataset

    parsing = output.transformed_feature_spec()
    return next(iter(eval_dataset([str(path) for path in sorted(folder.glob("transformed-*"))][:1], parsing).take(1)))


def trainer(folder: Path) -> None:
    """Runs the Trainer's `run_fn`."""
    import types

    from trainer.run_fn import run_fn
    from transform.preprocessing import CONFIG_KEY

    files = [str(path) for path in sorted(folder.glob("transformed-*"))]
    run_fn(
        types.SimpleNamespace(
            custom_config={CONFIG_KEY: (folder / _CONFIG).read_text(encoding="utf-8")},
            train_files=files[:1],
            eval_files=files[1:],
            transform_graph_path=str(folder / "today"),
            base_model=str(folder / "earlier_model" / "Format-Serving"),
            hyperparameters=None,
            serving_model_dir=str(folder / "trained" / "Format-Serving"),
        )
    )


def check_scores(folder: Path) -> None:
    """Compares the exported model's scores of the first examples with the model's."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(folder / "exported" / "Format-Serving")).signatures["serving_default"]
    records = list(tf.data.TFRecordDataset(str(folder / "requests")).as_numpy_iterator())
    expected = np.load(folder / "exported" / "scores.npz")["scores"]
    scores = signature(examples=tf.constant(records[: len(expected)]))["scores"].numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    print(f"  {len(expected)} scores of the SavedModel are the model's")


def run(part: str, folder: Path, *options: str) -> dict[str, float]:
    """Runs a part in a process of its own; returns its seconds, processor seconds and largest memory in bytes."""
    command = [sys.executable, "-m", "benchmarks.remap", "--part", part, "--folder", str(folder)]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *options])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"`{part}` in {folder} ended with {process.returncode}")
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}


def measure(
    folder: Path, rows: int, dim: int, optimizer: str, parts: list[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Prepares one size, unless it is prepared, and measures its parts."""
    size = folder / f"{rows}-{dim}-{optimizer}"
    if not (size / "prepared").exists():
        shutil.rmtree(size, ignore_errors=True)
        size.mkdir(parents=True)
        run("prepare", size, "--rows", str(rows), "--dim", str(dim), "--optimizer", optimizer)
        (size / "prepared").touch()
    for part in parts:
        yield part, run(part, size)
        if part == "export":
            run("check_scores", size)
        for name in ("exported", "trained"):
            shutil.rmtree(size / name, ignore_errors=True)


def main() -> None:
    """Prints the figures of each part at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000_000])
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--optimizer", choices=get_args(DeepOptimizerName), default="adagrad")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    if arguments.part:
        functions: dict[str, Callable[[], None]] = {
            "prepare": lambda: prepare(folder, arguments.rows[0], arguments.dim, arguments.optimizer),
            "remap": lambda: remap(folder),
            "export": lambda: export(folder),
            "trainer": lambda: trainer(folder),
            "check_scores": lambda: check_scores(folder),
        }
        functions[arguments.part]()
        return
    for rows in arguments.rows:
        for part, cost in measure(folder, rows, arguments.dim, arguments.optimizer, arguments.parts):
            memory = cost["memory"] / 2**30
            print(
                f"{rows:,} rows, {part}: {cost['seconds']:.0f} s, {cost['cpu']:.0f} CPU s, {memory:.2f} GiB", flush=True
            )


if __name__ == "__main__":
    main()
