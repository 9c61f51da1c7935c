"""What `wdr init` guesses of files with the header lines of public data sets and of the shipped store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.initial_config.guessing import guessed, kinds, log_of, of_csv
from transform.config.config import Config
from transform.config.sources import LabelRule

ROWS = range(600)
USERS, ITEMS = [i % 30 + 1 for i in ROWS], [i * 7 % 53 + 100 for i in ROWS]
STARS = [i * 11 % 7 % 5 + 1 for i in ROWS]


def csv(header: str, *columns: Sequence[Any], delimiter: str = ",") -> bytes:
    rows = (delimiter.join(map(str, row)) for row in zip(*columns, strict=True))
    return "\n".join([header, *rows, ""]).encode()


def roles(config: Config) -> tuple[str | None, str | None, str | None]:
    """The columns of the label and the item's id, and the feature that is the user's."""
    log = config.sources.impressions
    return log.label, log.item_id, config.user


def features(config: Config) -> dict[str, tuple[str, str]]:
    return {f.name: (f.kind, f.side) for f in config.spec.features if f.derive is None}


USER, ITEM = ("categorical", "context"), ("categorical", "item")


@pytest.mark.parametrize(
    ("content", "expected", "of_columns"),
    [
        (
            csv("userId,movieId,rating,timestamp", USERS, ITEMS, STARS, [1_700_000_000 + 9000 * i for i in ROWS]),
            ("rating", "movieId", "user_id"),
            {"user_id": USER, "movie_id": ITEM},
        ),
        (
            csv("User-ID;ISBN;Book-Rating", USERS, [f"0{i}X" for i in ITEMS], STARS, delimiter=";"),
            ("Book-Rating", "ISBN", "user_id"),
            {"user_id": USER, "isbn": ITEM},
        ),
        (
            csv("user_id,anime_id,rating", USERS, ITEMS, STARS),
            ("rating", "anime_id", "user_id"),
            {"user_id": USER, "anime_id": ITEM},
        ),
        (
            csv("user,game,hours played,behaviour", USERS, ITEMS, STARS, [("play", "buy")[i % 7 % 2] for i in ROWS]),
            ("behaviour", "game", "user"),
            {"user": USER, "game": ITEM},
        ),
        (
            csv("reviewerID,asin,overall,helpful", USERS, [f"B{i}" for i in ITEMS], STARS, [i * 7 % 41 for i in ROWS]),
            ("overall", "asin", "reviewer_id"),
            {"reviewer_id": USER, "asin": ITEM},
        ),
    ],
    ids=["MovieLens", "Book-Crossing", "anime", "games", "Amazon"],
)
def test_users_and_items_of_ratings(
    tmp_path: Path, content: bytes, expected: tuple[str, str, str], of_columns: dict[str, tuple[str, str]]
) -> None:
    config, text = of_csv(tmp_path, content)
    assert roles(config) == expected
    assert features(config) == of_columns
    for column in {"hours played", "helpful"} & {*content.decode().split("\n", 1)[0].split(",")}:
        assert f'# left out: "{column}": by the word "{column.split()[-1]}" in its name known only after' in text
    if "user" in of_columns:  # a name of one word alone is a weak reason
        assert "; by its name the user's id; if it is a quantity: kind: numeric, num_quantiles: 20" in text


YES_NO = {name: [["no", "yes"][i // step % 2] for i in ROWS] for name, step in (("default", 3), ("loan", 5))}


@pytest.mark.parametrize("last", ["y", "subscribed"])
def test_the_last_column_wins_over_a_word_that_is_often_a_feature_s(tmp_path: Path, last: str) -> None:
    columns = {"age": [18 + i % 60 for i in ROWS], **YES_NO, last: ["yes" if i % 8 == 0 else "no" for i in ROWS]}
    config, text = of_csv(tmp_path, log_of(columns, ";"))
    log = config.sources.impressions
    assert (log.label, log.label_rule) == (last, LabelRule(positive=("yes",), negative=("no",)))
    why = "by its name" if last == "y" else "the last column, which has two different values"
    others = 'other columns that might be it: "default", "loan"'
    assert f"label: {last}  # {why}; 12.5% of the rows are positive; {others}\n" in text  # 75 of 600
    assert {"default", "loan"} <= kinds(config).keys()


def test_online_shoppers(tmp_path: Path) -> None:
    columns = {"BounceRates": [i % 40 / 200 for i in ROWS], "Weekend": [str(i % 7 > 4).upper() for i in ROWS]}
    columns["Revenue"] = [str(i % 6 == 0).upper() for i in ROWS]
    config, text = of_csv(tmp_path, log_of(columns))
    assert config.sources.impressions.label_rule == LabelRule(positive=("TRUE",), negative=("FALSE",))
    reason = 'by its name; 16.7% of the rows are positive; other columns that might be it: "Weekend"'  # 100 of 600
    assert f"label: Revenue  # {reason}\n" in text


def test_of_two_events_the_last_is_the_label_and_the_other_no_feature(tmp_path: Path) -> None:
    columns = {"clicked": [int(i % 3 == 0) for i in ROWS], "installed": [int(i % 12 == 0) for i in ROWS]}
    config, text = of_csv(tmp_path, log_of(columns))
    assert (config.sources.impressions.label, [*kinds(config)]) == ("installed", ["place"])
    assert '# left out: "clicked": by its name an event after the impression, as the label is' in text


NUM_PAIRS = 4000
#: 130 users and 170 items; one in two users, and one in two items, likes or is liked.
WHO, WHAT = [i % 130 for i in range(NUM_PAIRS)], [i * 7 % 170 for i in range(NUM_PAIRS)]
LIKED = [
    int((who * 37 % 130 < 65) + (what * 59 % 170 < 85) + i * 13 % 3 % 2 > 1)
    for i, (who, what) in enumerate(zip(WHO, WHAT, strict=True))
]


def test_whole_numbers_without_order_in_the_label_are_ids(tmp_path: Path) -> None:
    columns = {
        "reader_no": WHO,  # the name of no id
        "part": WHAT,
        "size": [what * 59 % 170 for what in WHAT],  # one of each item, and larger where it is liked less
        "minutes": [i * 13 % 150 + 150 * (1 - liked) for i, liked in enumerate(LIKED)],  # fewer where it is liked
        "chance": [i * i % 499 for i in range(NUM_PAIRS)],  # tells nothing
        "liked": LIKED,
    }
    config, text = of_csv(tmp_path, csv(",".join(columns), *columns.values()))
    numbers = dict.fromkeys(["size", "chance"], ("numeric", "context"))
    assert features(config) == {"reader_no": USER, "part": ITEM} | numbers
    assert roles(config) == ("liked", "part", "reader_no")
    (line,) = (line for line in text.splitlines() if "name: part" in line)
    assert "170 different whole numbers, each in 24 rows, tell the label by themselves (AUC " in line
    assert ": an id, taken for the item's by the order of the columns; if it is a quantity: kind: numeric" in line


def test_one_such_number_alone_is_nobody_s_id(tmp_path: Path) -> None:
    columns = {"zip": WHAT, "liked": [int(what * 59 % 170 < 85) if i % 9 else i % 2 for i, what in enumerate(WHAT)]}
    config, text = of_csv(tmp_path, log_of(columns))
    assert features(config) == {"place": USER, "zip": USER}
    assert roles(config) == ("liked", None, None)
    assert ": an id; if it is a quantity: kind: numeric, num_quantiles: 20" in text


#: 200 requests of three apps each, of 40 apps.
STORE: dict[str, list[Any]] = {
    "request_id": [f"r{i // 3}" for i in ROWS],
    "timestamp": [1_767_225_680 + i // 3 * 60 for i in ROWS],
    "user_id": [f"u{i // 3 % 50}" for i in ROWS],
    "app_id": [f"a{i * 7 % 40}" for i in ROWS],
    "position": [i % 3 + 1 for i in ROWS],
    "order": [i * 2 % 3 for i in ROWS],
    "size": [i * 7 % 40 * 3 for i in ROWS],
    "distance": [i * 17 % 90 for i in ROWS],
    "page": [["home", "search"][i // 3 % 2] for i in ROWS],
    "late": [int(i in (4, 100, 300)) for i in ROWS],  # differs within 3 of the 200 requests
    "installed": [int(i % 7 == 0) for i in ROWS],
}


def test_what_differs_within_a_request_is_no_context(tmp_path: Path) -> None:
    config, text = of_csv(tmp_path, log_of(STORE))
    assert roles(config) == ("installed", "app_id", "user_id")
    sides = {name: side for name, (_, side) in features(config).items()}
    assert sides == {
        "user_id": "context", "app_id": "item", "size": "item", "distance": "item", "page": "context",
        "late": "context", "place": "item",
    }  # fmt: skip
    assert '# left out: "position": by its name the place at which the item was shown: it is not known when a ' in text
    assert '# left out: "order": counts the rows of each "request_id", as a place does: it is not known when a' in text
    why = "; no context, as it differs within 200 of 200 requests: "
    assert f'{why}it is the same for all rows of one "app_id"\n' in text
    assert f"{why}leave it out if it is known only after the ranking\n" in text


def test_a_session_may_have_several_contexts(tmp_path: Path) -> None:
    log = {"session_id" if name == "request_id" else name: values for name, values in STORE.items()}
    config, text = of_csv(tmp_path, log_of(log))
    sides = {name: side for name, (_, side) in features(config).items()}
    assert (sides["distance"], sides["order"]) == ("context", "context")
    assert '# left out: "position"' in text


def test_without_items_a_rank_is_a_feature(tmp_path: Path) -> None:
    columns = {"rank": [i % 60 for i in ROWS], "label": [i % 2 for i in ROWS]}
    assert "rank" in kinds(of_csv(tmp_path, log_of(columns))[0])


def test_guesses_of_the_rows_read_alone(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(log_of(STORE))
    config, text = guessed(tmp_path / "log.csv", max_rows=300)
    assert "differs within 100 of 100 requests" in text
    assert config.user == "user_id"


IF_AN_ID = "; if it is an id: kind: categorical, vocabulary: {min_count: 3, num_oov_buckets: 16}\n"


def test_numbers_that_may_be_ids_are_told(tmp_path: Path) -> None:
    columns = {
        "code": [f"{i * 7 % 30:03}" for i in ROWS],  # a number with leading zeros is a name
        "art_nr": [100_000 + 13 * (i * 7 % 150) for i in ROWS],
        "device": [350_000_000_000_000 + 29 * (i * 7 % 90) for i in ROWS],
        "shelf": [i * 7 % 110 for i in ROWS],  # 110 values, each in five rows
        "age": [18 + i * 11 % 70 for i in ROWS],
        "clicked": [i * 11 % 7 % 2 for i in ROWS],
    }
    config, text = of_csv(tmp_path, log_of(columns))
    numbers = dict.fromkeys(["art_nr", "device", "shelf", "age"], "numeric")
    assert kinds(config) == {"place": "categorical", "code": "categorical"} | numbers
    told = {line.split("name: ")[1].split(",")[0] for line in text.splitlines(True) if line.endswith(IF_AN_ID)}
    assert told == {"art_nr", "device", "shelf"}


def test_numbers_under_names_that_say_nothing_or_with_a_stray_zero_are_numbers(tmp_path: Path) -> None:
    columns = {
        "user_id": STORE["user_id"], "item_id": STORE["app_id"], "цена": [i * 7 % 90 for i in ROWS],
        "sum": ["007", *(i * 7 % 90 for i in ROWS[1:])], "clicked": STORE["installed"],
    }  # fmt: skip
    config, _ = of_csv(tmp_path, log_of(columns))
    assert config.sources.impressions.request_id is None
    assert [f.kind for f in config.spec.features if f.source_column in ("цена", "sum")] == ["numeric"] * 2


def test_a_clock_and_a_flag_that_alternates_are_no_places(tmp_path: Path) -> None:
    columns = [STORE["user_id"], STORE["app_id"], [i % 24 for i in ROWS], [i % 2 for i in ROWS], STORE["installed"]]
    config, _ = of_csv(tmp_path, csv("user_id,item_id,hour,is_new,clicked", *columns))
    assert {"hour", "is_new"} < features(config).keys()


def test_a_rank_that_each_item_has_is_the_item_s(tmp_path: Path) -> None:
    sales = [int(app[1:]) * 3 for app in STORE["app_id"]]
    config, _ = of_csv(
        tmp_path,
        csv("user_id,item_id,sales_rank,clicked", STORE["user_id"], STORE["app_id"], sales, STORE["installed"]),
    )
    assert "sales_rank" in features(config)


def test_numbers_of_queries_are_requests(tmp_path: Path) -> None:
    columns = {
        "user_id": STORE["user_id"], "item_id": STORE["app_id"], "query": [i // 3 for i in ROWS],
        "shown": [i % 3 + 1 for i in ROWS], "clicked": STORE["installed"],
    }  # fmt: skip
    config, text = of_csv(tmp_path, log_of(columns))
    assert config.sources.impressions.request_id == "query"
    assert '# left out: "shown": counts the rows of each "query", as a place does: ' in text


@pytest.mark.parametrize("name", ["display_order", "listPosition"])
def test_places_by_their_names(tmp_path: Path, name: str) -> None:
    columns: list[list[Any]] = [STORE["user_id"], STORE["app_id"], [i // 7 % 5 + 1 for i in ROWS], STORE["installed"]]
    config, text = of_csv(tmp_path, csv(f"user_id,item_id,{name},clicked", *columns))
    assert features(config) == {"user_id": USER, "item_id": ITEM}
    assert f'# left out: "{name}": by its name the place at which the item was shown' in text
    columns[2] = [number * 100_003 for number in columns[2]]
    assert "place_id" in features(of_csv(tmp_path, csv("user_id,item_id,place_id,clicked", *columns))[0])


def test_a_place_without_a_request_counts_rows_that_stand_together(tmp_path: Path) -> None:
    places = [at + 1 for i in range(240) for at in range(2 + i % 2)]  # 1 2, 1 2 3, and so on: 600
    columns: list[list[Any]] = [
        STORE["user_id"],
        STORE["app_id"],
        places,
        [i * i % 11 % 3 for i in ROWS],
        STORE["installed"],
    ]
    config, text = of_csv(tmp_path, csv("user_id,item_id,place,size,clicked", *columns))
    assert features(config) == {"user_id": USER, "item_id": ITEM, "size": ("categorical", "context")}
    assert '# left out: "place": counts rows that stand together, as a place does: it is not' in text


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dwell_time", 'by the word "dwell" in its name known only after the label'),
        ("watch_ratio", 'by the words "watch" and "ratio" in its name known only after the label'),
        ("time_spent", 'by the words "spent" and "time" in its name known only after the label'),
        ("avg_watch_time", None),  # of earlier rows
        ("duration", None),  # the item's, as a film's
    ],
)
def test_what_begins_with_the_impression_is_known_only_afterwards(tmp_path: Path, name: str, why: str | None) -> None:
    columns: list[list[Any]] = [STORE["user_id"], STORE["app_id"], [i * 7 % 90 / 4 for i in ROWS], STORE["installed"]]
    config, text = of_csv(tmp_path, csv(f"user_id,item_id,{name},purchased", *columns))
    assert (name in features(config)) == (why is None)
    assert why is None or f'# left out: "{name}": {why}' in text


def test_an_item_s_id_without_a_user_s_is_the_item_s(tmp_path: Path) -> None:
    columns = {"item_id": STORE["app_id"], "price": STORE["size"], "age": [18 + i * 7 % 70 for i in ROWS]}
    config, _ = of_csv(tmp_path, log_of(columns | {"clicked": STORE["installed"]}))
    assert roles(config) == ("clicked", "item_id", None)
    sides = {name: side for name, (_, side) in features(config).items()}
    assert sides == {"place": "context", "item_id": "item", "price": "item", "age": "context"}
