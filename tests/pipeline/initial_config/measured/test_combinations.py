"""What `wdr init` chooses beside the features: count encodings, crosses, and numbers whose single values count."""

from __future__ import annotations

import random
from pathlib import Path

from pipeline.initial_config.config_text import initial_config
from tests.pipeline.initial_config.guessing import kinds, log_of, of_csv


def test_ids_get_count_encodings(tmp_path: Path) -> None:
    columns = {
        "user_id": [i % 150 for i in range(1500)],
        "item_id": [i * 7 % 130 for i in range(1500)],
        "clicked": [i // 7 % 3 // 2 for i in range(1500)],
    }
    config, _ = of_csv(tmp_path, log_of(columns))
    assert [count.features for count in config.spec.count_encodings] == [("user_id",), ("item_id",)]
    assert "place" in kinds(config)  # five places are no ids
    columns["time"] = [1_700_000_000 + 7_200 * i for i in range(1500)]  # 125 days
    by_time, text = of_csv(tmp_path, log_of(columns))
    assert by_time.ingestion.split_by == "time_fraction"
    assert [count.features for count in by_time.spec.count_encodings] == [("item_id",)]
    assert "  # offered: - {features: [user_id]}  # how many earlier rows" in text


def test_a_cross_of_columns_that_tell_nothing_one_by_one(tmp_path: Path) -> None:
    draw = random.Random(1)
    a, b, c = ([draw.choice("xyz") for _ in range(1500)] for _ in range(3))
    label = [int(one == two) for one, two in zip(a, b, strict=True)]
    config, text = of_csv(tmp_path, log_of({"a": a, "b": b, "c": c, "clicked": label}))
    assert [cross.features for cross in config.spec.crosses] == [("a", "b")]
    assert "- {features: [a, b], min_count: 10}  # lowers the log loss by 0." in text
    assert not config.spec.count_encodings


def test_a_list_is_crossed_with_a_category(tmp_path: Path) -> None:
    draw = random.Random(2)
    likes = [draw.randrange(4) for _ in range(40)]  # each user likes one genre
    user = [i % 40 for i in range(2000)]
    genres = [draw.sample("abcd", draw.randint(1, 2)) for _ in range(2000)]
    label = [int("abcd"[likes[u]] in has) for u, has in zip(user, genres, strict=True)]
    columns = {"user_id": user, "genres": ["|".join(has) for has in genres], "clicked": label}
    config, _ = of_csv(tmp_path, log_of(columns))
    assert kinds(config)["genres"] == "categorical_list"
    assert ("user_id", "genres") in [cross.features for cross in config.spec.crosses]


def test_single_values_of_a_number_are_categories_if_they_tell_more_than_its_quantiles(tmp_path: Path) -> None:
    draw = random.Random(3)
    day = [draw.randint(1, 40) for _ in range(2000)]  # 20 quantiles of two days each
    age = [draw.randint(20, 60) for _ in range(2000)]
    label = [
        int(draw.random() < (0.8 if d % 2 else 0.2) * (1.2 if a > 40 else 0.8)) for d, a in zip(day, age, strict=True)
    ]
    config, text = of_csv(tmp_path, log_of({"day": day, "age": age, "clicked": label}))
    assert kinds(config) == {"place": "categorical", "day": "numeric", "day_value": "categorical", "age": "numeric"}
    assert config.spec.by_name["day_value"].source_column == "day"
    assert "its single values too: lowers the log loss by" in text


def test_of_many_columns_those_that_tell_the_label_best_are_crossed(tmp_path: Path) -> None:
    draw = random.Random(5)
    noise = {f"n{number}": [draw.choice("vw") for _ in range(1500)] for number in range(30)}
    a, b = ([draw.choice("xyz") for _ in range(1500)] for _ in range(2))
    chances = {"xx": 0.9, "yy": 0.6}  # each column tells something by itself, too
    label = [int(draw.random() < chances.get(one + two, 0.2)) for one, two in zip(a, b, strict=True)]
    config, _ = of_csv(tmp_path, log_of(noise | {"a": a, "b": b, "clicked": label}))
    assert [cross.features for cross in config.spec.crosses] == [("a", "b")]


def test_chance_gives_no_cross(tmp_path: Path) -> None:
    draw = random.Random(4)
    columns = {name: [draw.choice("vwxyz") for _ in range(1500)] for name in "abcdefgh"}
    config, _ = of_csv(tmp_path, log_of(columns | {"clicked": [draw.randrange(2) for _ in range(1500)]}))
    assert not config.spec.crosses


def test_without_labels_in_the_log_counts_are_a_comment(tmp_path: Path) -> None:
    rows = [f"{i % 150},{i * 7 % 130},{1_700_000_000 + i},{i % 9}" for i in range(1500)]
    (tmp_path / "log.csv").write_text("user_id,item_id,time,page\n" + "\n".join(rows))
    installs = [f"{i % 150},{i * 7 % 130},{1_700_000_010 + i}" for i in range(0, 1500, 5)]
    (tmp_path / "installs.csv").write_text("user_id,item_id,time\n" + "\n".join(installs))
    found = initial_config(tmp_path / "log.csv", None, 5000, tmp_path / "x.yaml", tmp_path / "installs.csv")
    assert "# count_encodings:\n  # offered: - {features: [user_id]}" in found.text
