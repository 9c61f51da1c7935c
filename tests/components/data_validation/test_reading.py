"""The baseline's scores of a span's examples."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tfx.utils import path_utils

from components.data_validation import reading
from components.data_validation.reading import score
from tests.components.saved_models import example, export


def test_as_many_examples_are_scored_as_tell_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With five examples, of which at most two may be scored, every third is scored."""
    model = path_utils.serving_model_path(str(export("good", tmp_path / "model")))
    examples = [example(x) for x in (0.0, 1.0, 2.0, 3.0, 4.0)]
    monkeypatch.setattr(reading, "MAX_SCORED", 2)
    found = score(examples, model)
    sigmoid = [1 / (1 + math.exp(-x)) for x in (0.0, 3.0)]
    np.testing.assert_allclose(found, [sigmoid[0], np.nan, np.nan, sigmoid[1], np.nan], rtol=1e-6)
