"""What the features determine together: names, shared vocabularies, and which features need a bucket."""

from __future__ import annotations

import pytest

from tests.transform.small_config import REMOVED, small_config
from transform.combinations import MAX_COMBINATION_NAME, CountEncoding, Cross
from transform.feature import Vocabulary
from transform.feature_spec import transformed_name, vocabulary_file_name


def test_names() -> None:
    assert transformed_name("app") == "app_xf"
    assert vocabulary_file_name("app") == "app_vocabulary"
    assert Cross(features=("a", "b", "c"), num_hash_buckets=5).name == "a_x_b_x_c"


def test_the_longest_name_of_a_count_encoding_fits_into_the_name_of_a_file() -> None:
    count = CountEncoding(features=("a" * 100, "b" * 100, "c" * 19))
    assert len(count.name) == MAX_COMBINATION_NAME
    assert len(f"table.wide.{count.input_name('share')}.npz") == 255


@pytest.mark.parametrize("name", ["", "../app", "App", "1st", "a b", "app\n"])
def test_a_vocabulary_file_gets_no_name_that_leaves_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="small letters, digits and underscores only"):
        vocabulary_file_name(name)


def test_a_feature_reads_the_column_of_its_name_or_the_one_named() -> None:
    spec = small_config(("features.0.column", "package")).spec
    assert [f.source_column for f in spec.features] == ["package", "installed", "price"]


def test_sharing_features_have_one_vocabulary() -> None:
    spec = small_config().spec
    app, installed, price = spec.features
    assert spec.vocabulary_owner(installed) is app
    assert spec.vocabulary_owner(app) is app
    assert spec.vocabularies == {"app": Vocabulary(min_count=2, max_size=None, num_oov_buckets=1)}
    assert spec.sharers("app") == (app, installed)
    assert (app.has_ids, installed.has_ids, price.has_ids) == (True, True, False)
    assert (app.is_list, installed.is_list, price.is_list) == (False, True, False)


@pytest.mark.parametrize(
    ("parts", "crosses", "needed"),
    [
        (["wide", "deep"], [], True),
        (["wide"], [], True),
        (["deep"], [], False),
        (["deep"], [{"features": ["app", "price"], "num_hash_buckets": 10}], True),
        ([], [{"features": ["app", "price"], "min_count": 1}], True),
        (["deep"], [{"features": ["app", "installed"], "min_count": 1}], False),
    ],
)
def test_a_quantile_is_an_id_only_where_the_wide_part_or_a_cross_needs_it(
    parts: list[str], crosses: list[dict[str, object]], needed: bool
) -> None:
    spec = small_config(("features.2.parts", parts), ("crosses", crosses)).spec
    assert spec.needs_bucket(spec.by_name["price"]) is needed
    assert spec.needs_bucket(spec.by_name["app"]) is False


@pytest.mark.parametrize("scale", ["standard", "log"])
def test_a_standardized_number_of_the_deep_part_alone_needs_no_bucket(scale: str) -> None:
    changes = [("features.2.scale", scale), ("features.2.num_quantiles", REMOVED), ("features.2.parts", ["deep"])]
    price = small_config(*changes).spec.by_name["price"]
    assert (price.scale, price.num_buckets) == (scale, None)
    with pytest.raises(ValueError, match="price` has no `num_quantiles` and no `boundaries`"):
        small_config(*changes, ("crosses", [{"features": ["app", "price"], "min_count": 1}]))


def test_of_part() -> None:
    spec = small_config(("features.0.parts", ["wide"]), ("features.1.parts", ["deep"])).spec
    assert [f.name for f in spec.of_part("wide")] == ["app", "price"]
    assert [f.name for f in spec.of_part("deep")] == ["installed", "price"]
