"""A feature is renamed: the serving model reads the old name, and is still compared on the new examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from sklearn.metrics import roc_auc_score

from tests.e2e import store
from tests.e2e.bad_store import ok_in_process

pytestmark = pytest.mark.slow


def test_the_model_that_serves_is_compared_under_the_feature_s_old_name(
    first_day: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    workspace = store.copy_of(first_day[0], tmp_path / "workspace")
    sections = yaml.safe_load(store.CONFIG.read_text())
    country = next(feature for feature in sections["features"] if feature["name"] == "country")
    country.update(name="land", column="country", renamed_from="country")
    sections["count_encodings"] = [{"features": ["land", "app_id"]}]
    config = tmp_path / "renamed.yaml"
    config.write_text(yaml.safe_dump(sections))

    ok_in_process(*store.run_arguments(data, workspace, 2, config))

    report = store.last_report(workspace)
    assert report["held_against"] == "version 1, trained to span 1"
    newest = max((workspace / "artifacts" / "example_gen" / "examples").iterdir(), key=lambda path: int(path.name))
    files = sorted(map(str, newest.glob("Split-eval/*")))
    examples = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    features = [tf.train.Example.FromString(example).features.feature for example in examples]
    assert all(f["land"] == f["country"] for f in features)
    assert any(f["land"].bytes_list.value for f in features)
    serve = tf.saved_model.load(str(workspace / "serving" / store.NAME / "1")).signatures["serving_default"]
    scores = serve(examples=tf.constant(examples))["scores"].numpy()
    labels = np.array([f["label"].int64_list.value[0] for f in features])
    assert report["baseline"]["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
