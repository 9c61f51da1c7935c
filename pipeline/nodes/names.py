"""Names of the pipeline's nodes, and the functions that TFX calls in them."""

from __future__ import annotations

EXAMPLE_GEN = "example_gen"
PRECEDING_SPAN = "preceding_span"
LATE_LABELS = "late_labels"
SCHEMA_GEN = "schema_gen"
TUNER = "tuner"
STATISTICS_GEN = "statistics_gen"
TRANSFORM = "transform"
EVALUATOR = "evaluator"
DATA_VALIDATION = "data_validation"
QUALITY_GATE = "quality_gate"
PROGRESSIVE_VALIDATION = "progressive_validation"

#: The nodes that some configs' pipelines have and others do not.
OPTIONAL_NODES = (PRECEDING_SPAN, LATE_LABELS, TUNER)

#: The nodes that read all rows, and so have Beam's workers if the config's `beam` asks for some.
ROW_NODES = (EXAMPLE_GEN, STATISTICS_GEN, LATE_LABELS, PROGRESSIVE_VALIDATION, TRANSFORM, EVALUATOR)

#: The functions that TFX's Transform, Trainer and Tuner call, as dotted paths.
PREPROCESSING_FN = "transform.preprocessing.preprocessing_fn"
RUN_FN = "trainer.run_fn.run_fn"
TUNER_FN = "trainer.tuner_fn.tuner_fn"
