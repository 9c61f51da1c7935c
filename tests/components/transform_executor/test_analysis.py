"""Analysis span by span: which spans are read again, and what the cache's keys are of."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.analyzers import QuantilesCombiner, WeightedMeanAndVarCombiner

from components.examples.reading import example_batches
from components.transform_executor import file_analysis
from components.transform_executor.analysis import AnalysisCache, analyze
from components.transform_executor.traced_graph import Analyzer, TracedGraph, Vocabulary, traced, type_specs

PARSING = {"city": tf.io.VarLenFeature(tf.string), "price": tf.io.VarLenFeature(tf.float32)}


def preprocessing_fn(
    inputs: dict[str, Any], reserved: Sequence[bytes] = (), min_count: int = 1, first: bool = False
) -> dict[str, Any]:
    """One vocabulary, and the quantiles and the moments of one feature; `first` puts another vocabulary first."""
    outputs = {}
    if first:
        prices = tf.strings.as_string(inputs["price"].values)
        outputs["other"] = tft.vocabulary(prices, vocab_filename="prices", name="other")
    outputs["file"] = tft.vocabulary(
        tf.strings.lower(inputs["city"].values),
        frequency_threshold=min_count,
        reserved_tokens=list(reserved) or None,
        vocab_filename="cities",
        name="city",
    )
    outputs["boundaries"] = tft.quantiles(inputs["price"].values, 3, epsilon=0.01, name="price")
    price = tf.cast(inputs["price"].values, tf.float64)
    outputs["mean"], outputs["variance"] = tft.mean(price, name="mean"), tft.var(price, name="variance")
    return outputs


def graph_of(folder: Path, **settings: Any) -> TracedGraph:
    folder.mkdir(exist_ok=True)
    return traced(functools.partial(preprocessing_fn, **settings), type_specs(PARSING), str(folder))


def span(folder: Path, *files: list[tuple[str, float]]) -> list[str]:
    folder.mkdir()
    paths = [str(folder / f"data-{number}.gz") for number in range(len(files))]
    for path, rows in zip(paths, files, strict=True):
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for city, price in rows:
                example = tf.train.Example()
                example.features.feature["city"].bytes_list.value.append(city.encode())
                example.features.feature["price"].float_list.value.append(price)
                writer.write(example.SerializeToString())
    return paths


def keys(graph: TracedGraph) -> list[str]:
    return [analyzer.key for phase in graph.phases for analyzer in phase]


def test_a_new_day_reads_one_span_and_has_the_results_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = {
        "1": span(tmp_path / "1", [("Rome", 1.0), ("rome", 2.0), ("Bern", 3.0)]),
        "2": span(tmp_path / "2", [("bern", 4.0), ("BERN", 5.0), ("Oslo", 6.0)]),
        "3": span(tmp_path / "3", [("oslo", 7.0)]),
    }
    read: list[list[str]] = []

    def recorded(files: Sequence[str], size: int) -> Iterator[tf.Tensor]:
        read.append(list(files))
        return example_batches(files, size)

    monkeypatch.setattr(file_analysis, "example_batches", recorded)
    graph = graph_of(tmp_path / "scratch")

    def run(names: str, cache: str, earlier: str | None, code: str = "1") -> tuple[dict[str, list[float]], bytes]:
        before = str(tmp_path / earlier) if earlier else None
        window = {name: days[name] for name in names}
        place = AnalysisCache(str(tmp_path / cache), before, code)
        results = analyze(graph, PARSING, window, place, str(tmp_path / "scratch"))
        numbers = {name: value.numpy().tolist() for name, value in results.items() if value.dtype != tf.string}
        return numbers, (tmp_path / "scratch" / "cities").read_bytes()

    _, first = run("1", "a", None)
    assert first == b"rome\nbern\n"
    cached = run("12", "b", "a")
    assert read == [days["1"], days["2"]]
    assert cached[1] == b"bern\nrome\noslo\n"
    assert run("12", "c", None) == cached
    del read[:]
    run("23", "d", "b")
    assert read == [days["3"]]
    assert len(list((tmp_path / "d" / "spans").iterdir())) == 2  # the day that left the window is not kept
    del read[:]
    assert run("12", "e", "b", code="2") == cached  # other code may count otherwise
    assert read == [days["1"], days["2"]]


def emptied(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeroed(content: bytes) -> bytes:
    return content[:8] + bytes(len(content) // 2) + content[8 + len(content) // 2 :]


def _kind_of(analyzer: Analyzer) -> type:
    return type(analyzer if isinstance(analyzer, Vocabulary) else analyzer.combiner)


@pytest.mark.parametrize("damage", [emptied, cut, zeroed])
@pytest.mark.parametrize("kind", [Vocabulary, QuantilesCombiner, WeightedMeanAndVarCombiner])
def test_a_damaged_result_is_computed_again_with_a_warning(
    tmp_path: Path, kind: type, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is empty or cut, as after a power cut, and one with zeros in place of some blocks."""
    days = {
        "1": span(tmp_path / "1", [(f"city {n % 70}", n / 7) for n in range(300)]),
        "2": span(tmp_path / "2", [("city 3", 6.0)]),
    }
    graph = graph_of(tmp_path / "scratch")

    def run(cache: str, earlier: str | None) -> dict[str, Any]:
        place = AnalysisCache(str(tmp_path / cache), str(tmp_path / earlier) if earlier else None)
        results = analyze(graph, PARSING, days, place, str(tmp_path / "scratch"))
        numbers = {name: value.numpy().tolist() for name, value in results.items() if value.dtype != tf.string}
        return {**numbers, "cities": (tmp_path / "scratch" / "cities").read_bytes()}

    expected = run("a", None)
    (key,) = {analyzer.key for phase in graph.phases for analyzer in phase if kind is _kind_of(analyzer)}
    damaged = Path(AnalysisCache(str(tmp_path / "a"), None).path("1", key))
    content = damage(damaged.read_bytes())
    damaged.write_bytes(content)
    assert run("b", "a") == expected
    (warning,) = (record.getMessage() for record in caplog.records if "damaged" in record.getMessage())
    assert str(damaged) in warning
    assert damaged.read_bytes() == content  # the new result is not written into the earlier run's file
    caplog.clear()
    assert run("c", "b") == expected
    assert not [record for record in caplog.records if "damaged" in record.getMessage()]


def test_a_key_is_of_what_is_counted_and_not_of_how_it_is_used(tmp_path: Path) -> None:
    plain = keys(graph_of(tmp_path / "a"))
    assert keys(graph_of(tmp_path / "b", reserved=[b"rome"], min_count=3)) == plain
    assert len(set(plain)) == 3  # a mean and a variance of the same numbers have one
    assert set(keys(graph_of(tmp_path / "c", first=True))) > set(plain)  # other names, the same operations


def test_another_analyzer_is_refused(tmp_path: Path) -> None:
    allowed = "vocabularies, quantiles, and means and variances of all values only"
    by_column = functools.partial(tft.mean, reduce_instance_dims=False)
    for analyzer in (tft.sum, tft.size, tft.covariance, by_column):
        settings = {"dtype": tf.float32} if analyzer is tft.covariance else {}
        function = functools.partial(_of_prices, analyzer, settings)
        with pytest.raises(NotImplementedError, match=allowed):
            traced(function, type_specs(PARSING), str(tmp_path))


def _of_prices(analyzer: Any, settings: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    return {"x": analyzer(tf.reshape(inputs["price"].values, [-1, 1]), name="x", **settings)}


def test_the_mean_and_the_variance_are_those_of_all_spans(tmp_path: Path) -> None:
    """Also from states of an earlier run, with a span of more than a batch and one without a number."""
    prices = [[1e6 + n / 7 for n in range(5000)], [float("nan"), float("inf")], [-3e38, 3e38, 2.0]]
    days = {str(n): span(tmp_path / str(n), [("a", price) for price in of_day]) for n, of_day in enumerate(prices)}
    graph = graph_of(tmp_path / "scratch")

    def run(names: str, cache: str, earlier: str | None) -> list[float]:
        before = str(tmp_path / earlier) if earlier else None
        window = {name: days[name] for name in names}
        known = analyze(graph, PARSING, window, AnalysisCache(str(tmp_path / cache), before), str(tmp_path / "scratch"))
        return [float(value) for value in known.values() if value.dtype == tf.float64]

    for names, cache, earlier in (("01", "a", None), ("012", "b", "a"), ("1", "c", "b")):
        numbers = [float(np.float32(price)) for name in names for price in prices[int(name)] if math.isfinite(price)]
        mean = math.fsum(numbers) / max(len(numbers), 1)
        variance = math.fsum((number - mean) ** 2 for number in numbers) / max(len(numbers), 1)
        # Each of the two analyzers has both results.
        np.testing.assert_allclose(run(names, cache, earlier), [mean, variance] * 2, rtol=1e-9)


def test_files_of_a_span_are_merged_in_their_order_and_kept_as_one_state(tmp_path: Path) -> None:
    """The files' states are removed. A file without rows, and one without a number, count for nothing."""
    rows = [[("Rome", 1.0), ("rome", 4.0)], [], [("Bern", float("nan"))], [("bern", 7.0), ("Oslo", 2.5)]]
    window = {"1": span(tmp_path / "1", *rows), "2": span(tmp_path / "2", [("OSLO", 9.0)])}
    graph = graph_of(tmp_path / "scratch")

    def run(cache: str, earlier: str | None) -> dict[str, Any]:
        place = AnalysisCache(str(tmp_path / cache), str(tmp_path / earlier) if earlier else None)
        results = analyze(graph, PARSING, window, place, str(tmp_path / "scratch"))
        found = {name: value.numpy().tolist() for name, value in results.items() if value.dtype != tf.string}
        return {**found, "cities": (tmp_path / "scratch" / "cities").read_bytes()}

    first = run("a", None)
    assert first["cities"] == b"rome\noslo\nbern\n"  # two of each: of equal counts, the greatest bytes come first
    numbers = [1.0, 4.0, 7.0, 2.5, 9.0]
    mean = math.fsum(numbers) / 5
    variance = math.fsum((number - mean) ** 2 for number in numbers) / 5
    floats = [value for value in first.values() if isinstance(value, float)]
    np.testing.assert_allclose(floats, [mean, variance] * 2, rtol=1e-12)
    (boundaries,) = (value for value in first.values() if isinstance(value, list))
    np.testing.assert_array_equal(np.ravel(boundaries), [2.5, 7.0])
    stored = sorted(path.name for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert stored == sorted(2 * list(set(keys(graph))))  # a state of each span
    assert not list((tmp_path / "scratch" / "phase-0" / "files").iterdir())
    assert run("b", "a") == first
    assert run("c", None) == first


def test_boundaries_of_several_files_are_as_near_as_those_of_one(tmp_path: Path) -> None:
    """The sketches depend on the division: a boundary's rank may differ by 2e-4, and is the same each time."""
    prices = np.random.default_rng(1).lognormal(3, 1, 20_000).astype(np.float32)
    graph = traced(_quantiles, type_specs(PARSING), str(tmp_path))

    def boundaries(name: str, number: int) -> np.ndarray:
        rows = [[("a", price) for price in part.tolist()] for part in np.array_split(prices, number)]
        window = {"1": span(tmp_path / name, *rows)}
        cache = AnalysisCache(str(tmp_path / f"{name}-cache"), None)
        (found,) = analyze(graph, PARSING, window, cache, str(tmp_path / f"{name}-scratch")).values()
        return np.ravel(found.numpy())

    one, seven = boundaries("one", 1), boundaries("seven", 7)
    assert np.array_equal(seven, boundaries("again", 7))
    in_order = np.sort(prices)
    of_one, of_seven = (np.searchsorted(in_order, found) / prices.size for found in (one, seven))
    np.testing.assert_allclose(of_seven, of_one, atol=2e-4, rtol=0)
    np.testing.assert_allclose(of_one, np.arange(1, 20) / 20, atol=1e-3)


def _quantiles(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"boundaries": tft.quantiles(inputs["price"].values, 20, epsilon=0.005, name="price")}
