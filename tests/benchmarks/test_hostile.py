"""Short form of the benchmark of hostile requests: checks its report's form, not its times."""

from __future__ import annotations

import contextlib
import io
import itertools
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf
from rich.console import Console

from benchmarks import hostile
from benchmarks.attacker import Attack, Attacker, Target, _send, ranking_messages
from benchmarks.hostile import Beside, Report, Round, print_each, print_report
from benchmarks.model_server import free_port
from components.push.warmup import write_warmup
from tests.serving.model_server.hostile_connections import CONNECTIONS
from tests.serving.model_server.hostile_requests import GRPC, REST
from tests.serving.ranking_client.tiny_model import CATALOG, export_tiny


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with `rank`, and with warm-up requests whose contexts have a list."""
    folder = tmp_path_factory.mktemp("tiny")
    export_tiny(folder)
    write_warmup(str(folder / "1"), "tiny", [_example(app_id) for app_id in list(CATALOG)[:50]], "app_id")
    return folder / "1"


def _example(app_id: str) -> bytes:
    features = {
        "app_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[app_id.encode()])),
        "installed": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"app_1", b"app_2"])),
        "age": tf.train.Feature(float_list=tf.train.FloatList(value=[30.0])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def test_the_ratio_is_that_of_the_99th_percentiles() -> None:
    assert Round(usual=[1.0] * 99 + [2.0], attacked=[3.0] * 200).ratio == pytest.approx(3.0 / 1.01)


def test_what_is_printed() -> None:
    report = Report(
        rounds=[Round([1.0] * 10, [2.0] * 10), Round([1.0] * 10, [4.0] * 10), Round([2.0] * 10, [5.0] * 10)],
        attack_seconds=6.0,
        memory=[300.0, 310.0, 311.0, 311.0],
    )
    report.answers.update({("a", "INVALID_ARGUMENT"): 700, ("b", "INVALID_ARGUMENT"): 300, ("b", "400"): 200})
    console = Console(file=io.StringIO(), width=200)
    print_report(console, report)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert (
        "p99 beside the attacker is 2.50 x its normal, the median of 3 rounds (2.00 to 4.00); 3 allowed" in lines[-4:]
    )
    assert "failed 0" in lines[-3]
    assert lines[-2].startswith("the attacker sent 200 requests a second")
    assert lines[-2].endswith("INVALID_ARGUMENT 1,000, 400 200")
    assert lines[-1] == "the server's memory: 300 MB before, 310, 311, 311 after each attack"


def test_a_kind_without_a_response_is_found() -> None:
    report = Report()
    report.answers.update({("a", "400"): 2, ("b", "OK"): 1})
    assert report.never_answered(["a", "b", "c"]) == ["c"]


def test_the_worst_kind_comes_first() -> None:
    console = Console(file=io.StringIO(), width=100)
    turns = {"": ([1.0], 0), "mild": ([2.0], 0), "bad": ([9.0], 0), "fails": ([0.5], 1), "ends": ([], 20)}
    print_each(console, {kind: Beside(latencies, number) for kind, (latencies, number) in turns.items()})
    rows = [line.replace("│", " ").split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert [row for row in rows if len(row) >= 5][1:] == [
        ["ends", "20", "-", "-", "-", "-"],
        ["fails", "1", "0.50", "0.50", "0.50", "0.50"],
        ["bad", "0", "9.00", "9.00", "9.00", "9.00"],
        ["mild", "0", "2.00", "2.00", "2.00", "2.00"],
        ["(nobody", "else)", "0", "1.00", "1.00", "1.00", "1.00"],
    ]


def test_an_attack_goes_on_where_the_one_before_ended() -> None:
    """Each attack has been told to stop before it starts, so that it sends one kind of the three."""
    kinds = dict.fromkeys("abc", lambda: "OK")
    turn, stop = itertools.cycle(kinds), threading.Event()
    stop.set()
    attacks = [Attack() for _ in range(4)]
    for attack in attacks:
        _send(kinds, turn, attack, stop)
    assert [dict(attack.answers) for attack in attacks] == [{(kind, "OK"): 1} for kind in "abca"]


@pytest.mark.slow
def test_an_attack_that_fails_is_an_error(version: Path) -> None:
    """Nobody listens at the ports."""
    with contextlib.closing(Attacker(Target(free_port(), free_port(), version))) as attacker:
        kind = next(kind for kind in attacker.kinds if "pings" in kind)
        match = r"must last until it is ended\. Received: ConnectionRefusedError"
        with pytest.raises(RuntimeError, match=match), attacker.attacking([kind]):
            pass


def test_lists_are_blown_up_and_single_values_are_not(version: Path) -> None:
    from tensorflow_serving.apis import predict_pb2

    messages = ranking_messages(version)
    assert len(messages["a list of 450,000 values, for one candidate"][0]) < 8 << 20  # it is answered
    message, _ = messages["a list of 100,000 values"]
    (context,) = predict_pb2.PredictRequest.FromString(message).inputs["context"].string_val
    features = tf.train.Example.FromString(context).features.feature
    lengths = {name: len(feature.bytes_list.value) for name, feature in features.items()}
    assert lengths == {"app_id": 1, "installed": 100_000, "age": 0}


@pytest.mark.slow
def test_in_short(version: Path) -> None:
    """All kinds get a response, and the client that ranks has no failure."""
    with hostile.scene(version, rate=20, num_candidates=20, deadline_seconds=60.0) as scene:
        kinds = scene.attacker.kinds
        assert len(kinds) == len(GRPC) + len(REST) + len(CONNECTIONS) + 13
        report = hostile.measure(scene, num_rounds=2, seconds=8)
        for _ in range(10):  # on a busy machine, the kinds, one after the other, take longer than the rounds
            if report.never_answered(kinds):
                with scene.attacker.attacking() as attack:
                    time.sleep(8)
                report.answers += attack.answers
        each = hostile.measure_each(scene, 0.5, kinds[:2])
    assert [(len(r.usual), len(r.attacked)) for r in report.rounds] == [(160, 160)] * 2
    assert report.errors.total() == 0
    assert report.never_answered(kinds) == []
    assert {"INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "400", "404"} <= {code for _, code in report.answers}
    assert report.attack_seconds >= 14
    assert len(report.memory) == 3
    assert min(report.memory) > 0
    found = {kind: (len(beside.latencies), beside.num_failed) for kind, beside in each.items()}
    assert found == dict.fromkeys(["", *kinds[:2]], (10, 0))
