"""Old names of keys are read: in files for one release, with a warning; in what earlier releases wrote, for ever."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.transform.small_config import FILE, changed, small_config
from transform.config import renamed_keys
from transform.config.config import Config, parse_config
from transform.config.renamed_keys import EACH, RENAMED_KEYS
from transform.errors import ConfigError

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "tests" / "e2e" / "workspace-of-0.1.tar.xz"


def parsed(*changes: tuple[str, Any]) -> tuple[Config, list[str]]:
    """Parses the small config with changes; returns it, and the warnings."""
    warnings: list[str] = []
    return parse_config(changed(*changes), FILE, warnings.append), warnings


@pytest.fixture(scope="module")
def pushed() -> dict[str, str]:
    """The config and the manifest of a version that the first release pushed, by their file names."""
    found = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            if folder.endswith("/1/assets.extra") and name in ("config.json", "manifest.json"):
                found[name] = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            if len(found) == 2:
                break
    return found


def test_an_old_name_is_read_with_a_warning_that_names_the_new_one() -> None:
    config, warnings = parsed(("features.0.vocabulary.oov_buckets", 3))
    assert config == small_config(("features.0.vocabulary.num_oov_buckets", 3))
    assert warnings == [
        "`oov_buckets` is now called `num_oov_buckets` (small.yaml, features.app.vocabulary). The next release no "
        "longer accepts the old name; `wdr check --migrate small.yaml` rewrites the file"
    ]


def test_a_key_in_several_places_has_one_warning() -> None:
    config, warnings = parsed(("features.0.vocabulary.oov_buckets", 3), ("features.1.vocabulary", {"oov_buckets": 5}))
    assert [rule.num_oov_buckets for rule in config.spec.vocabularies.values()] == [3, 5]
    assert [sentence.partition(". ")[0] for sentence in warnings] == [
        "`oov_buckets` is now called `num_oov_buckets` (small.yaml, features.app.vocabulary and 1 more place)"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("counts", [{"features": ["app"]}]), ("count_encodings", [{"features": ["app"]}])),
        (("crosses.0", {"features": ["installed", "app"], "hash_buckets": 9}),
         ("crosses.0", {"features": ["installed", "app"], "num_hash_buckets": 9})),
        (("model.bfloat16", True), ("model.compute_dtype", "bfloat16")),
        (("model.bfloat16", False), ("model.compute_dtype", "float32")),
        (("training.negative_fraction", 0.5), ("training.negative_sampling_rate", 0.5)),
        (("training.deep_optimizer", {"schedule": "cosine", "final_fraction": 0.2}),
         ("training.deep_optimizer", {"schedule": "cosine", "min_lr_ratio": 0.2})),
        (("tuning.ranges", {"training.negative_fraction": {"min": 0.1, "max": 1.0}}),
         ("tuning.ranges", {"training.negative_sampling_rate": {"min": 0.1, "max": 1.0}})),
        (("tuning.ranges", {"model.bfloat16": {"choices": [True, False]}}),
         ("tuning.ranges", {"model.compute_dtype": {"choices": ["bfloat16", "float32"]}})),
    ],
    ids=lambda change: f"{change[0]} {change[1]}"[:60],
)  # fmt: skip
def test_an_old_name_stands_for_the_new_one(old: tuple[str, Any], new: tuple[str, Any]) -> None:
    config, warnings = parsed(old)
    assert len(warnings) == 1
    assert config == small_config(new)
    first = config.identity_json()
    assert Config.from_json(first) == config
    assert Config.from_json(config.to_json()).identity_json() == first


def test_a_value_that_never_was_one_is_an_error_of_the_new_key() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(("model.bfloat16", "half"))
    assert str(caught.value) == (
        "`compute_dtype` must be one of 'float32' or 'bfloat16'. Received: 'half' (small.yaml, model.compute_dtype)."
    )


def test_a_config_with_new_names_has_no_warning() -> None:
    assert parsed(("features.0.vocabulary.num_oov_buckets", 3))[1] == []


def test_who_gives_no_function_for_warnings_gets_python_s() -> None:
    with pytest.warns(FutureWarning, match="`oov_buckets` is now called `num_oov_buckets`"):
        small_config(("features.0.vocabulary.oov_buckets", 3))


def test_both_names_in_one_place_are_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(("features.0.vocabulary.oov_buckets", 3), ("features.0.vocabulary.num_oov_buckets", 3))
    assert str(caught.value) == (
        "`num_oov_buckets` and its old name `oov_buckets` are both given; keep one of them "
        "(small.yaml, features.app.vocabulary)"
    )


def test_an_old_name_in_a_wrong_place_is_no_key() -> None:
    with pytest.raises(ConfigError, match=r"`oov_buckets` is not a known key \(small.yaml, model.oov_buckets\)"):
        parsed(("model.oov_buckets", 3))


@pytest.mark.parametrize("odd", [3, "app", [], ["app"], {"oov_buckets": 3}, [{"vocabulary": ["oov_buckets"]}]])
def test_sections_of_a_wrong_type_are_left_to_the_config_s_own_rules(odd: Any) -> None:
    with pytest.raises(ConfigError):
        parsed(("features", odd))


def test_the_argument_is_not_changed() -> None:
    raw = changed(("features.0.vocabulary.oov_buckets", 3))
    before = json.dumps(raw)
    renamed_keys.in_file(raw, FILE)
    assert json.dumps(raw) == before


def test_a_mapping_that_stands_in_many_places_is_renamed_once() -> None:
    rule = {"oov_buckets": 3, **{str(i): i for i in range(10_000)}}
    raw, (found,) = renamed_keys.in_file({"features": [{"vocabulary": rule}] * 10_000}, FILE)
    assert found.number == 1
    assert {id(feature["vocabulary"]) for feature in raw["features"]} == {id(raw["features"][0]["vocabulary"])}
    assert raw["features"][0]["vocabulary"]["num_oov_buckets"] == 3


def test_no_new_name_is_an_old_one_of_its_section() -> None:
    olds = {(key.section, key.old) for key in RENAMED_KEYS}
    assert len(olds) == len(RENAMED_KEYS)
    assert olds & {(key.section, key.new) for key in RENAMED_KEYS} == set()


def test_the_config_of_a_version_of_the_first_release_is_read_without_a_warning(
    pushed: dict[str, str], recwarn: pytest.WarningsRecorder
) -> None:
    config = Config.from_json(pushed["config.json"])
    assert list(recwarn) == []
    assert {name: rule.num_oov_buckets for name, rule in config.spec.vocabularies.items()} == {
        "country": 1,
        "app_id": 2,
    }
    assert Config.from_json(config.to_json()) == config


def test_the_fingerprint_of_a_config_is_the_first_release_s(pushed: dict[str, str]) -> None:
    text = Config.from_json(pushed["config.json"]).identity_json()
    assert text == pushed["config.json"]
    recorded = json.loads(pushed["manifest.json"])["config_fingerprint"]
    assert hashlib.sha256(text.encode()).hexdigest() == recorded


def test_a_name_is_no_part_of_a_config_s_identity() -> None:
    old = parsed(("features.0.vocabulary.oov_buckets", 3))[0].identity_json()
    assert old == small_config(("features.0.vocabulary.num_oov_buckets", 3)).identity_json()
    assert old != small_config(("features.0.vocabulary.num_oov_buckets", 4)).identity_json()
    assert json.loads(old)["spec"]["features"][0]["vocabulary"]["oov_buckets"] == 3


def test_each_key_of_a_config_has_its_first_name_and_back() -> None:
    raw = json.loads(small_config().to_json())
    first = renamed_keys.first_names(raw)
    assert first != raw
    assert renamed_keys.in_json(first) == raw
    assert renamed_keys.in_json(raw) == raw


@pytest.mark.parametrize("odd", [None, 3, {}, {"spec": None}, {"spec": {"features": 3}}])
def test_other_json_stays_as_it_is(odd: Any) -> None:
    assert renamed_keys.in_json(odd) == odd


def test_the_guide_lists_all_new_names() -> None:
    text = (ROOT / "docs" / "how_to" / "upgrade.md").read_text(encoding="utf-8").split("## Keys with new names")[1]
    listed = re.findall(r"^\| (the top of the file|`.*?`) \| `(\w+)` \| `(\w+)` \|$", text, re.MULTILINE)
    keys = [key for key in RENAMED_KEYS if key.section != ("tuning", "ranges")]
    sections = ["`" + ".".join(key.section).replace(f".{EACH}", "[]") + "`" for key in keys]
    expected = [
        (section.replace("``", "the top of the file"), key.old, key.new)
        for section, key in zip(sections, keys, strict=True)
    ]
    assert listed == expected
