"""What `wdr check` says of features that a person would doubt, on files in the shape of public data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.ingestion.spans import resolve_span
from pipeline.check.features import doubtful_features
from pipeline.check.first_rows import ReadRows
from pipeline.cli.main import cli
from transform.config.config_file import parse_config

Columns = Mapping[str, Sequence[Any]]

ROWS = range(600)
LABEL = [i * 11 % 7 % 2 for i in ROWS]

NUMERIC = {"kind": "numeric", "num_quantiles": 10}
CATEGORICAL: dict[str, Any] = {"kind": "categorical", "vocabulary": {}}

NOT_KNOWN = (
    ": a model that learns from what a request cannot have is worse than its evaluation says; leave it out unless it "
    "is known when ranking"
)
AN_ID = (
    "values are whole numbers. Of a number the model learns by its size; an id is `kind: categorical` with a "
    "`vocabulary`"
)
NO_RANKING = (
    "all features are `side: context`, so that the candidates of a request have one score and cannot be ranked; what "
    "each candidate has for itself{}, is `side: item`"
)
NO_REQUEST = (
    "all features are `side: item`, so that items are ranked alike for every user and request; what a request knows of "
    "its user, its place and its time is `side: context`"
)


def write(folder: Path, columns: Columns, features: Mapping[str, Any], **log: Any) -> dict[str, Any]:
    """Writes a log, and returns a config of its features: by name their keys beside `side: context`."""
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (folder / "log.csv").write_text("\n".join([",".join(columns), *rows, ""]))
    return {
        "name": "small",
        "sources": {"impressions": {"path": "log.csv", "format": "csv", "label": "y"} | log},
        "ingestion": {"split_by": "request_hash" if "request_id" in log else "row_hash"},
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        "features": [{"name": name, "side": "context"} | keys for name, keys in features.items()],
    }


def found(folder: Path, columns: Columns, features: Mapping[str, Any], **log: Any) -> list[str]:
    config = parse_config(write(folder, columns, features, **log), "small.yaml")
    return doubtful_features(config, ReadRows(config, resolve_span(config, str(folder)), "impressions", 10_000))


def test_ids_of_movielens_read_as_numbers_of_the_context(tmp_path: Path) -> None:
    columns = {"userid": [i % 30 + 1 for i in ROWS], "movieid": [i * 7 % 53 + 100 for i in ROWS], "y": LABEL}
    assert found(tmp_path, columns, {"userid": NUMERIC, "movieid": NUMERIC}) == [
        NO_RANKING.format(", such as `movieid`"),
        f"`userid` is numeric, but is probably an id: by its name, and its 30 different {AN_ID}",
        f"`movieid` is numeric, but is probably an id: by its name, and its 53 different {AN_ID}",
    ]
    assert found(tmp_path, columns, {"userid": CATEGORICAL, "movieid": CATEGORICAL | {"side": "item"}}) == []


def test_a_number_that_behaves_as_an_id(tmp_path: Path) -> None:
    users, parts = [i % 130 for i in range(4000)], [i * 7 % 170 for i in range(4000)]
    liked = [
        int((user * 37 % 130 < 65) + (part * 59 % 170 < 85) + i * 13 % 3 % 2 > 1)
        for i, (user, part) in enumerate(zip(users, parts, strict=True))
    ]
    columns = {
        "reader_no": users,
        "part": parts,
        "size": [part * 59 % 170 for part in parts],  # determined by the part
        "minutes": [i * i % 499 for i in range(4000)],  # tells nothing
        "y": liked,
    }
    features = dict.fromkeys(["reader_no", "part", "size", "minutes"], NUMERIC) | {"part": NUMERIC | {"side": "item"}}
    sentences = found(tmp_path, columns, features)
    assert [sentence.split(" is numeric, but is probably an id: ")[0] for sentence in sentences] == [
        "`reader_no`",
        "`part`",
    ]
    assert "170 different whole numbers, each in 24 rows, tell the label by themselves (AUC " in sentences[1]


def test_what_is_known_only_afterwards(tmp_path: Path) -> None:
    columns: dict[str, Sequence[Any]] = {
        "age": [18 + i % 60 for i in ROWS],
        "duration": [i * 37 % 500 for i in ROWS],  # of the call, as in Bank Marketing
        "helpful_votes": [i % 41 for i in ROWS],
        "clicked": [i % 2 for i in ROWS],
        "revenue": [0 if label == 0 else i % 50 + 1 for i, label in zip(ROWS, LABEL, strict=True)],
        "score": [i * 13 % 50 + 45 * label for i, label in zip(ROWS, LABEL, strict=True)],
        "status": [("open", "shut")[label] if i % 40 else "?" for i, label in zip(ROWS, LABEL, strict=True)],
        "y": LABEL,
    }
    features = {name: NUMERIC for name in columns if name != "y"} | {"status": CATEGORICAL}
    sentences = found(tmp_path, columns, features)
    assert [sentence.removesuffix(NOT_KNOWN) for sentence in sentences if sentence.endswith(NOT_KNOWN)] == sentences_of(
        sentences
    )
    duration, votes, clicked, revenue, score, status = sentences_of(sentences)
    assert duration == '`duration` is by the word "duration" in its name probably measured only after the impression'
    assert votes == '`helpful_votes` is by the word "helpful" in its name known only after the label'
    assert clicked == "`clicked` is by its name an event after the impression, as the label is"
    assert revenue == '`revenue` is not "0" in 100% of the positive rows and 0% of the others'
    assert score.startswith("`score` tells the label alone with an AUC of 0.9")
    assert status.startswith("`status` ")


def sentences_of(sentences: Sequence[str]) -> list[str]:
    return [sentence.removesuffix(NOT_KNOWN) for sentence in sentences]


def test_a_song_s_own_duration_is_known(tmp_path: Path) -> None:
    columns = {"page": [i % 3 for i in ROWS], "duration": [i * 7 % 53 + 100 for i in ROWS], "y": LABEL}
    assert found(tmp_path, columns, {"page": CATEGORICAL, "duration": NUMERIC | {"side": "item"}}) == []


@pytest.mark.parametrize(
    ("sides", "log", "expected"),
    [
        (("context", "context"), {}, []),  # a table of rows that are not ranked
        (("context", "context"), {"request_id": "request"}, [NO_RANKING.format("")]),
        (("item", "item"), {}, [NO_REQUEST]),
        (("context", "item"), {"request_id": "request"}, []),
    ],
)
def test_features_of_one_side(tmp_path: Path, sides: tuple[str, str], log: dict[str, str], expected: list[str]) -> None:
    columns = {
        "request": [i // 3 for i in ROWS],
        "place": [i % 5 for i in ROWS],
        "job": [i % 8 for i in ROWS],
        "y": LABEL,
    }
    features = {name: CATEGORICAL | {"side": side} for name, side in zip(("place", "job"), sides, strict=True)}
    assert found(tmp_path, columns, features, **log) == expected


def test_the_command_says_so(tmp_path: Path) -> None:
    rare = [int(i % 100 == 0) for i in ROWS]  # 6 of 600 rows
    columns = {"place": [i % 5 for i in ROWS], "duration": [i * 37 % 500 for i in ROWS], "y": rare}
    raw = write(tmp_path, columns, {"place": CATEGORICAL, "duration": NUMERIC})
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(raw))
    arguments = ["check", str(tmp_path / "c.yaml"), "--data", str(tmp_path)]
    printed = CliRunner().invoke(cli, arguments, catch_exceptions=False).output
    document = json.loads(CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False).stdout)
    for subject, start in (
        ("labels", "`y` is 1 in 1.00% of the rows (6 of 600)"),
        ("splits", "the train split has "),
        ("features", "`duration` is by the word"),
    ):
        assert f"\n{subject}: {start}" in printed
        assert document[subject][0].startswith(start)
    assert len(document["splits"]) == 2


def test_absolute_times_as_numbers(tmp_path: Path) -> None:
    times = [1_391_212_800 + 7200 * i for i in ROWS]
    columns = {"shown_at": times, "ts": [time * 1000 for time in times], "sum": [time - 10**9 for time in times]}
    columns |= {"visit_id": times, "y": LABEL}
    features = dict.fromkeys(["shown_at", "ts", "sum"], NUMERIC) | {"visit_id": CATEGORICAL}
    assert found(tmp_path, columns, features) == [
        f"`{name}` is numeric, but its values are probably times, such as {time}, whose size says little of later "
        f"rows; leave it out{declare}, or take its hour and weekday with `derive`"
        for name, time, declare in (
            ("shown_at", 1_391_212_800, ", declare it as the `timestamp`"),
            ("ts", 1_391_212_800_000, ""),  # a `timestamp` has seconds
        )
    ]


def test_places_and_what_follows_the_impression_on_the_item_s_side(tmp_path: Path) -> None:
    item = {"side": "item"} | NUMERIC
    columns = {"slot": [i * 7 % 5 for i in ROWS], "watch_ms": [i * 7 % 90 for i in ROWS], "y": LABEL}
    assert found(tmp_path, columns, {"slot": item, "watch_ms": item})[1:] == [
        f"`slot` is by its name the place at which the item was shown{NOT_KNOWN}",
        f'`watch_ms` is by the words "watch" and "ms" in its name known only after the label{NOT_KNOWN}',
    ]
