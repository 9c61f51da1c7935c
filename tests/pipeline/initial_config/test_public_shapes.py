"""What `wdr init` guesses of files in the shape of public data sets, and that `wdr check` reads them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.initial_config.config_text import initial_config
from tests.pipeline.initial_config import public_shapes as shapes
from tests.pipeline.initial_config.guessing import of_csv
from transform.errors import InputError


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the config says: the label, the ids, the time, and of the columns what they are by name."""

    label: str
    item: str | None = None
    user: str | None = None
    request: str | None = None
    time: str | None = None
    left_out: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()


FILES = {
    "criteo.tsv": (shapes.CRITEO, Expected("column_1", numbers=("column_2", "column_14"), categories=("column_15",))),
    "outbrain.csv": (shapes.OUTBRAIN, Expected("clicked", item="ad_id", request="display_id")),
    "expedia.csv": (
        shapes.EXPEDIA,
        Expected(
            "booking_bool", item="prop_id", request="srch_id", time="date_time",
            left_out=("position", "click_bool", "gross_bookings_usd"), numbers=("price_usd", "srch_booking_window"),
            derived=("date_time_hour", "date_time_weekday"),
        ),
    ),
    "titanic.csv": (
        shapes.TITANIC,
        Expected("Survived", left_out=("PassengerId", "Name"), numbers=("age", "fare"), categories=("sex", "pclass")),
    ),
    "hotel_bookings.csv": (
        shapes.HOTEL_BOOKINGS,
        Expected(
            "is_canceled", time="reservation_status_date", left_out=("reservation_status",), numbers=("adr",),
            categories=("hotel", "agent"),
        ),
    ),
    "attrition.csv": (
        shapes.ATTRITION,
        Expected(
            "Attrition", left_out=("EmployeeCount", "EmployeeNumber", "Over18", "StandardHours"), numbers=("age",),
            categories=("gender", "performance_rating"),
        ),
    ),
    "yelp.csv": (
        shapes.YELP,
        Expected("stars", item="business_id", user="user_id", time="date", left_out=("review_id", "useful")),
    ),
    "fine_foods.csv": (
        shapes.FINE_FOODS,
        Expected(
            "Score", item="ProductId", user="user_id", time="Time",
            left_out=("HelpfulnessNumerator", "HelpfulnessDenominator", "Summary"),
        ),
    ),
    "german.data": (shapes.GERMAN_CREDIT, Expected("column_11", numbers=("column_4",), categories=("column_1",))),
    "steam.csv": (shapes.STEAM, Expected("column_3", left_out=("column_4", "column_5"))),
    "amazon.csv": (shapes.AMAZON, Expected("column_3", time="column_4")),
    "hillstrom.csv": (shapes.HILLSTROM, Expected("conversion", left_out=("visit", "spend"), numbers=("history",))),
    "taobao.csv": (
        shapes.TAOBAO, Expected("clk", item="adgroup_id", user="user", time="time_stamp", left_out=("nonclk",))
    ),
    "avazu.csv": (
        shapes.AVAZU,
        Expected("click", item="app_id", user="device_id", time="hour", derived=("hour_hour", "hour_weekday")),
    ),
    "retail.csv": (
        shapes.RETAIL,
        Expected("returned", user="customer_id", time="InvoiceDate", left_out=("UnitPrice",), categories=("country",)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_is(tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    config, text = of_csv(tmp_path, content, name)
    log, spec = config.sources.impressions, config.spec
    found = Expected(
        label=str(log.label), item=log.item_id, user=config.user, request=log.request_id, time=log.timestamp,
        left_out=tuple(column for column in expected.left_out if f'# left out: "{column}": ' in text),
        numbers=tuple(name for name in expected.numbers if spec.by_name[name].kind == "numeric"),
        categories=tuple(name for name in expected.categories if spec.by_name[name].kind == "categorical"),
        derived=tuple(f.name for f in spec.features if f.derive is not None) if expected.derived else (),
    )  # fmt: skip
    assert found == expected, text


def test_a_grade_under_another_name_is_told_with_its_command(tmp_path: Path) -> None:
    """Of the wines, `quality` has six numbers, and no word says that it is what is to be predicted."""
    (tmp_path / "wine.csv").write_bytes(shapes.WINE)
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / "wine.csv", None, 5000, Path("x.yaml"))
    assert f"`wdr init {tmp_path / 'wine.csv'} --label quality` takes it" in str(caught.value)
    config, _ = of_csv(tmp_path, shapes.WINE, "wine.csv", "quality")
    assert {f.kind for f in config.spec.features} == {"numeric"}
