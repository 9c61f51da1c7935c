"""The label that `wdr init` guesses, and the columns that are known after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.initial_config.config_text import initial_config
from pipeline.initial_config.label import Label, read_labels
from pipeline.initial_config.samples.sample import Column, Sample
from tests.pipeline.initial_config.guessing import guessed, kinds, log_of, of_csv
from transform.config.sources import DelimitedText, LabelRule
from transform.errors import InputError


@pytest.mark.parametrize(
    ("values", "at_least"), [((-1.0, 1.0, 1.0), 1), ((1.0, 2.0, 1.0), 2), ((-1, 1, 1), 1), ((0.5, 0.25, 0.25), 0.5)]
)
def test_of_two_numbers_the_larger_one_is_the_positive_label(
    tmp_path: Path, values: Sequence[float], at_least: float
) -> None:
    labels = [values[i % 3] for i in range(120)]
    pq.write_table(pa.table({"a": [f"a{i % 4}" for i in range(120)], "target": labels}), tmp_path / "log.parquet")
    config, text = guessed(tmp_path / "log.parquet")
    assert config.sources.impressions.label_rule == LabelRule(at_least=at_least)
    assert "}  # the larger of two numbers\n" in text
    config, _ = of_csv(tmp_path, b"a,target\n" + b"".join(b"a%d,%g\n" % (i % 4, y) for i, y in enumerate(labels)))
    assert config.sources.impressions.label_rule == LabelRule(at_least=at_least)


CLICKED = [0, 1] * 150


#: 60 % of the positive rows.
LATE = [clicked and i % 10 in (1, 3, 5) for i, clicked in enumerate(CLICKED)]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        (
            "revenue",
            [f"{i}.5" if y else "" for i, y in enumerate(CLICKED)],
            "has a value in 100% of the positive rows ",
        ),
        ("revenue", [f"{i}.5" if late else "NA" for i, late in enumerate(LATE)], "has a value in 60% of the positive "),
        (
            "time",
            [1_764_333_005 + 5000 * i if late else "" for i, late in enumerate(LATE)],
            "has a value in 60% of the ",
        ),
        (
            "revenue",
            [f"{i}.5" if late else 0 for i, late in enumerate(LATE)],
            'is not "0" in 60% of the positive rows ',
        ),
        ("steps", ["ad|store" if late else "ad" for late in LATE], 'is not "ad" in 60% of the positive rows '),
        ("reason", ["" if y or i % 4 else f"r{i % 3}" for i, y in enumerate(CLICKED)], "has a value in 0% of the "),
        ("conversion", ["bad"[y] for y in CLICKED], 'is not "b" in 100% of the positive rows '),
        ("sum", [y * 20 + i * 7 % 40 for i, y in enumerate(CLICKED)], ""),
        ("sum", [y * 38 + i * 7 % 40 for i, y in enumerate(CLICKED)], "tells the label alone with an AUC of "),
        ("seen", [f"r{i % 3}" if i % 4 else "" for i in range(300)], ""),
        ("country", ["fr" if not y and i % 3 == 0 else "us" for i, y in enumerate(CLICKED)], ""),
    ],
)
def test_a_column_that_is_known_after_the_label_is_left_out(
    tmp_path: Path, name: str, values: Sequence[Any], reason: str
) -> None:
    config, text = of_csv(tmp_path, log_of({name: values, "clicked": CLICKED}))
    found = {f.source_column for f in config.spec.features}
    assert found == ({"place"} if reason else {"place", name})
    if reason:
        (line,) = (line for line in text.splitlines() if "left out" in line)
        assert line.startswith(f'  # left out: "{name}": {reason}')
        assert line.endswith(": known after the label?")
    few = log_of({name: values[:198], "clicked": CLICKED[:198]})  # 99 rows of each label
    assert name in {f.source_column for f in of_csv(tmp_path, few)[0].spec.features}


def test_the_rows_of_one_request_do_not_tell_each_other_s_label(tmp_path: Path) -> None:
    clicked = [i // 4 * 7 % 5 % 2 for i in range(400)]  # all rows of a request have one label
    columns = {"page": [f"p{i // 4}" for i in range(400)], "clicked": clicked}
    with_requests = log_of({"request_id": [i // 4 for i in range(400)]} | columns)
    assert set(kinds(of_csv(tmp_path, with_requests)[0])) == {"place", "page"}
    assert set(kinds(of_csv(tmp_path, log_of(columns))[0])) == {"place"}


def test_values_in_rows_without_a_label_alone_tell_nothing_of_it(tmp_path: Path) -> None:
    columns = {"note": ["ab"[i % 2] if i < 3 else "" for i in range(303)], "clicked": [*["?"] * 3, *CLICKED]}
    (tmp_path / "log.csv").write_bytes(log_of(columns))
    assert "name: note" in initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml")).text


def test_a_column_that_is_known_after_the_label_is_in_no_list(tmp_path: Path) -> None:
    flags = {name: [i // step % 2 for i in range(300)] for name, step in (("a", 3), ("b", 5), ("c", 7))}
    _, text = of_csv(tmp_path, log_of(flags | {"paid": CLICKED, "clicked": CLICKED}), label="clicked")
    assert "one_hot: [a, b, c]" in text
    (tmp_path / "log.csv").write_text("clicked,paid\n" + "".join(f"{y},{y}\n" for y in CLICKED))
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / "log.csv", "clicked", 1000, Path("x.yaml"))
    assert str(caught.value) == (
        'a config needs a column to learn from beside the label \'clicked\'; left out: "paid": is not "0" in 100% of '
        f"the positive rows and 0% of the others: known after the label? ({tmp_path}/log.csv)"
    )


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        (["0", "1.0", "", "1"], None),
        (["True", "False"], None),
        (["yes", "no", "?"], {"positive": ["yes"], "negative": ["no"]}),
        (["3", "4.5", "5", ""], {"at_least": 4}),
    ],
)
def test_each_row_s_label(tmp_path: Path, labels: list[str], rule: dict[str, Any] | None) -> None:
    column = Column("y", "text", tuple((text,) for text in labels))
    sample = Sample(tmp_path, "csv", DelimitedText(), {}, (column,), len(labels), True)
    expected = {"0": 0, "False": 0, "no": 0, "3": 0, "": None, "?": None}
    assert read_labels(Label("y", "", rule), sample, ("?",)) == [expected.get(text, 1) for text in labels]


def test_rows_without_a_label_are_told(tmp_path: Path) -> None:
    content = b"a,clicked\n" + b"".join(b"a%d,%s\n" % (i % 4, (b"", b"0", b"1")[i % 3]) for i in range(60))
    (tmp_path / "log.csv").write_bytes(content)
    text = initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml")).text
    assert "label: clicked  # by its name; 20 of the 60 rows have none and would be rejected" in text


def test_the_label_can_be_named(tmp_path: Path) -> None:
    content = b"click,a,b\n" + b"".join(b"%d,%d,%d\n" % (i % 2, i % 2, i % 5) for i in range(50))
    config, _ = of_csv(tmp_path, content)
    assert config.sources.impressions.label == "click"
    config, _ = of_csv(tmp_path, content, label="a")
    assert config.sources.impressions.label == "a"
    config, _ = of_csv(tmp_path, content, label="b")
    assert config.sources.impressions.label_rule == LabelRule(at_least=3)  # 40 %, as near to half as 60 %, and higher


@pytest.mark.parametrize("label", [None, "clicked"])
@pytest.mark.parametrize("value", ["0", "no"])
def test_a_log_sorted_by_its_label_is_refused_instead_of_another_label_taken(
    tmp_path: Path, label: str | None, value: str
) -> None:
    clicked = [value] * 150 + ["1"] * 50
    (tmp_path / "log.csv").write_bytes(log_of({"sex": ["f", "m"] * 100, "clicked": clicked}))
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / "log.csv", label, 100, Path("x.yaml"))
    assert str(caught.value) == (
        f'the label must have two different values in the rows read. Received: only "{value}" in the first 100 rows of '
        "'clicked'; `--rows` reads more rows, `--label` names another column, and a log that is sorted by its label "
        f"needs its rows in another order ({tmp_path}/log.csv)"
    )
    text = initial_config(tmp_path / "log.csv", "sex", 100, Path("x.yaml")).text
    assert "label: sex  # named by --label" in text
    text = initial_config(tmp_path / "log.csv", label, 1000, Path("x.yaml")).text
    assert "label: clicked  #" in text


def test_a_column_of_one_value_hides_no_likelier_label(tmp_path: Path) -> None:
    columns = {"target_os": ["ios"] * 200, "response_code": ["200"] * 200, "sex": ["f", "m"] * 100}
    (tmp_path / "log.csv").write_bytes(log_of(columns | {"clicked": ["0", "1"] * 100}))
    assert "label: clicked  # by its name" in initial_config(tmp_path / "log.csv", None, 100, Path("x.yaml")).text
    (tmp_path / "log.csv").write_bytes(log_of(columns | {"odd": ["0", "1"] * 100}))
    text = initial_config(tmp_path / "log.csv", None, 100, Path("x.yaml")).text
    assert "label: odd  # the last column, which has two different values" in text
    # Of a whole file, a column of one value is no label whatever its name is.
    (tmp_path / "log.csv").write_bytes(log_of({"clicked": ["0"] * 200, "sex": ["f", "m"] * 100}))
    assert "label: sex  #" in initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml")).text


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ({"target_os": "ia", "installed": "01"}, "installed"),
        ({"target_os": "ia", "is_installed": "01"}, "is_installed"),
        ({"target_os": "ia", "income": "hl"}, "income"),  # of texts, the whole name
        ({"target_new": "01", "liked": "01"}, "liked"),  # of 0 and 1, the whole name
        ({"class": "eb", "ad_clicked": "01"}, "ad_clicked"),  # as far from a label's: the likelier word
        ({"click_type": "ab", "app_purchase": "01"}, "app_purchase"),  # of longer names, 0 and 1
        ({"purchase": "01", "clicked": "01"}, "clicked"),
    ],
)
def test_the_label_is_the_column_with_the_likeliest_name_and_values(
    tmp_path: Path, names: dict[str, str], label: str
) -> None:
    columns = {name: list(values) * 60 for name, values in names.items()}
    (tmp_path / "log.csv").write_bytes(log_of(columns))
    assert f"label: {label}  # by its name" in initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml")).text
