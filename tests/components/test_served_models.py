"""The models that a run builds on if ML Metadata was lost, but the serving folder is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components import storage
from components.model_store.manifest import Manifest
from components.model_store.served_models import baseline_words, find_version, place_of, why_not_comparable
from components.model_store.versions import add_version, models_folder, remove_version
from components.resolvers import AnchorModel, LastPushedModel, ServingModel
from tests.components.mlmd_lineage import Lineage


class Served:
    """A serving folder, and the models that a run resolves from it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root / "serving")

    def push(self, model: Any, *spans: int) -> int:
        def fill(folder: str) -> None:
            storage.copy_folder(f"{model.uri}/Format-Serving", folder)
            storage.write_text(f"{folder}/assets.extra/config.json", "{}")

        return add_version(self.root, fill, Manifest(model_uri=model.uri, spans=spans))

    def configure(self, version: int, spec: dict[str, Any]) -> None:
        """Replaces the feature spec in a version's config."""
        storage.write_text(f"{self.root}/{version}/assets.extra/config.json", json.dumps({"spec": spec}))

    def base(self, lineage: Lineage, current: Any, models: list[Any]) -> list[Any]:
        inputs = {"examples": [current], "model": models}
        return LastPushedModel(self.root).resolve_artifacts(lineage.store, inputs)["model"]

    def baseline(self, lineage: Lineage, candidate: Any, models: list[Any]) -> list[Any]:
        inputs = {"candidate": [candidate], "model": models}
        return ServingModel(self.root).resolve_artifacts(lineage.store, inputs)["model"]


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


@pytest.fixture
def anew(tmp_path: Path) -> Lineage:
    """An empty ML Metadata store, as after its loss."""
    return Lineage(tmp_path / "artifacts anew")


def words(served: Served, candidate: Any, found: list[Any]) -> str:
    is_imported = bool(found) and found[0].get_string_custom_property("imported_as") != ""
    return baseline_words(served.root, candidate.uri, is_found=bool(found), is_imported=is_imported, features=["app"])


def file_of(model: Any) -> str:
    return (Path(model.uri) / "Format-Serving" / "saved_model.pb").read_text()


def test_the_pushed_model_s_own_files_are_taken_where_they_are(lineage: Lineage, anew: Lineage, served: Served) -> None:
    model = lineage.model(lineage.examples(1))
    served.push(model, 1)
    candidate = anew.model(anew.examples(2))
    found = served.baseline(anew, candidate, [candidate])
    assert [m.uri for m in found] == [model.uri]
    assert words(served, candidate, found) == (
        "version 1, trained to span 1, found by its manifest: ML Metadata had no files of its model"
    )
    # The next run, and the run's other resolver, find the imported model.
    assert [m.id for m in served.baseline(anew, candidate, [candidate, *found])] == [found[0].id]
    assert [m.id for m in served.base(anew, anew.examples(2), [candidate, *found])] == [found[0].id]
    assert len(anew.store.get_artifacts_by_uri(model.uri)) == 1


@pytest.mark.parametrize("loss", ["removed", "of another model", "known but removed"])
def test_the_version_s_own_files_are_taken_where_the_model_s_are_gone(
    lineage: Lineage, anew: Lineage, served: Served, loss: str
) -> None:
    model = lineage.model(lineage.examples(1))
    text = file_of(model)
    served.push(model, 1)
    if loss == "of another model":
        (Path(model.uri) / "Format-Serving" / "saved_model.pb").write_text("another")
    else:
        shutil.rmtree(model.uri)
    store = lineage if loss == "known but removed" else anew
    known = [model] if loss == "known but removed" else []
    candidate = store.model(store.examples(2))
    (found,) = served.baseline(store, candidate, [*known, candidate])
    assert found.uri == f"{models_folder(served.root)}/1"
    assert (file_of(found), place_of(found)) == (text, model.uri)
    assert not (Path(found.uri) / "Format-Serving" / "assets.extra").exists()
    remove_version(served.root, 1)
    assert not Path(found.uri).exists()


def test_a_version_that_is_not_as_it_was_pushed_is_no_baseline_and_the_summary_says_so(
    lineage: Lineage, anew: Lineage, served: Served
) -> None:
    model = lineage.model(lineage.examples(1))
    served.push(model, 1)
    shutil.rmtree(model.uri)
    (Path(served.root) / "1" / "saved_model.pb").write_text("damaged")
    candidate = anew.model(anew.examples(2))
    assert served.baseline(anew, candidate, [candidate]) == []
    said = words(served, candidate, [])
    assert said.startswith("none: of the model of version 1 ML Metadata has no files, and a version's files must be")
    assert said.endswith("; thresholds on changes judge nothing")


def test_on_a_first_run_there_is_no_baseline(anew: Lineage, served: Served) -> None:
    candidate = anew.model(anew.examples(1))
    assert served.baseline(anew, candidate, [candidate]) == []
    assert words(served, candidate, []) == "none, as no model served before"


def test_a_training_starts_from_a_model_of_earlier_spans_only(lineage: Lineage, anew: Lineage, served: Served) -> None:
    """For a model of the same span, the lost ML Metadata no longer shows whether it was trained on the same rows."""
    models = [lineage.model(lineage.examples(span)) for span in (1, 2, 3)]
    for span, model in enumerate(models, 1):
        served.push(model, span)
    found = [served.base(anew, anew.examples(span), []) for span in (1, 2, 3, 4)]
    assert [[m.uri for m in of_span] for of_span in found] == [[], *([m.uri] for m in models)]


def test_what_ml_metadata_knows_is_never_imported(lineage: Lineage, served: Served) -> None:
    model = lineage.model(lineage.examples(1))
    served.push(model, 1)
    candidate = lineage.model(lineage.examples(2))
    assert [m.id for m in served.baseline(lineage, candidate, [model, candidate])] == [model.id]
    assert len(lineage.store.get_artifacts_by_type(standard_artifacts.Model.TYPE_NAME)) == 2


def test_a_baseline_that_reads_features_which_the_examples_no_longer_have_is_named_with_them(
    lineage: Lineage, served: Served
) -> None:
    model = lineage.model(lineage.examples(1))
    served.push(model, 1)
    candidate = lineage.model(lineage.examples(2))
    served.configure(1, {"features": [{"name": name} for name in ("price", "app", "age")]})
    assert words(served, candidate, [model]) == (
        "version 1, trained to span 1; not compared, as it reads age, price, which the examples do not have"
    )


def test_a_model_is_comparable_on_examples_that_have_what_it_reads(lineage: Lineage, served: Served) -> None:
    model = lineage.model(lineage.examples(1))
    served.push(model, 1)
    features = [
        {"name": "app", "parts": ["wide", "deep"]},
        {"name": "device", "parts": []},  # for slices only
        {"name": "hour", "parts": []},  # used in a feature cross
    ]
    served.configure(1, {"features": features, "crosses": [{"features": ["app", "hour"]}], "count_encodings": []})
    version = find_version(served.root, model)
    assert version == 1
    served.configure(1, {"features": features, "count_encodings": [{"features": ["hour"]}]})
    assert why_not_comparable(served.root, version, {"app", "hour"}) == ""
    assert "reads hour" in why_not_comparable(served.root, version, {"app", "device"})
    served.configure(1, {"features": features, "crosses": [{"features": ["app", "hour"]}], "count_encodings": []})
    assert why_not_comparable(served.root, version, {"app", "hour"}) == ""
    assert why_not_comparable(served.root, version, {"app", "device"}).startswith(
        "version 1 reads hour, which the examples do not have ("
    )
    assert find_version(served.root, lineage.model(lineage.examples(2))) is None
    assert why_not_comparable(served.root, None, {"app"}) == ""


def trained_at_the_place_of(model: Any, lineage: Lineage, span: int) -> Any:
    """Adds another model at the URI of an earlier one, as with a new ML Metadata store, whose ids restart at 1."""
    another = lineage.model(lineage.examples(span))
    another.uri = model.uri
    (Path(model.uri) / "Format-Serving" / "saved_model.pb").write_text("another model")
    return another


def test_a_candidate_at_the_place_of_a_pushed_model_is_held_against_what_serves(
    lineage: Lineage, anew: Lineage, served: Served
) -> None:
    model = lineage.model(lineage.examples(1))
    text = file_of(model)
    served.push(model, 1)
    candidate = trained_at_the_place_of(model, anew, 2)
    (found,) = served.baseline(anew, candidate, [candidate])
    assert file_of(found) == text
    assert words(served, candidate, [found]).startswith("version 1, trained to span 1, found by its manifest")
    anchor = AnchorModel(served.root).resolve_artifacts(anew.store, {"candidate": [candidate], "model": [candidate]})
    assert [file_of(found) for found in anchor["model"]] == [text]


def test_no_training_starts_from_another_model_at_the_place_of_the_pushed_one(lineage: Lineage, served: Served) -> None:
    model = lineage.model(lineage.examples(1))
    text = file_of(model)
    served.push(model, 1)
    another = trained_at_the_place_of(model, lineage, 1)
    (found,) = served.base(lineage, lineage.examples(2), [another])
    assert file_of(found) == text
    (again,) = served.base(lineage, lineage.examples(2), [another, found])
    assert again.id == found.id  # imported only once
    assert find_version(served.root, another) is None
    assert find_version(served.root, found) == 1
