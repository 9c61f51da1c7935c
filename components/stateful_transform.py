"""TFX's Transform with a memory: its vocabularies keep tokens of earlier spans that are not in the window.

The component, its inputs and outputs are TFX's; the executor is `components.transform_executor.executor`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import executor_spec
from tfx.types.component_spec import ChannelParameter, ComponentSpec
from tfx.types.standard_component_specs import TransformSpec

from components.artifact_types import VocabularyMemory
from components.execution_types import recorded_as
from components.spec_component import SpecBeamComponent
from components.transform_executor.executor import TransformExecutor

#: The executor's name in pipelines that release 0.2.0 compiled.
RememberingTransformExecutor = TransformExecutor


class StatefulTransformSpec(ComponentSpec):  # type: ignore[misc]
    """The spec of TFX's Transform, plus the memory before and after the run."""

    PARAMETERS = {
        name: TransformSpec.PARAMETERS[name]
        for name in ("preprocessing_fn", "splits_config", "custom_config", "force_tf_compat_v1", "disable_statistics")
    }
    INPUTS = {**TransformSpec.INPUTS, "memory": ChannelParameter(type=VocabularyMemory, optional=True)}
    OUTPUTS = {
        **{
            name: TransformSpec.OUTPUTS[name]
            for name in ("transform_graph", "transformed_examples", "updated_analyzer_cache")
        },
        "updated_memory": ChannelParameter(type=VocabularyMemory),
    }
    TYPE_ANNOTATION = TransformSpec.TYPE_ANNOTATION


@recorded_as("components.remembering_transform.RememberingTransform")
class StatefulTransform(SpecBeamComponent):
    """TFX's Transform, with the vocabularies' memory as an additional input and output.

    Args:
      examples: The window's examples.
      schema: The examples' schema.
      analyzer_cache: The analyzer cache of an earlier run, or none.
      memory: The memory of an earlier span, or none.
      preprocessing_fn: The dotted path of the function; its `custom_config` has the memory's tokens under
        `REMEMBERED_KEY`.
      splits_config: The splits that are analyzed and transformed.
      custom_config: The function's `custom_config`; it must have `CONFIG_KEY`.
    """

    SPEC_CLASS = StatefulTransformSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(TransformExecutor)

    def __init__(self, custom_config: Mapping[str, Any], **given: Any):
        # Nothing reads Transform's statistics; StatisticsGen has those of the raw examples.
        custom = json.dumps(dict(custom_config), sort_keys=True)
        super().__init__(custom_config=custom, force_tf_compat_v1=0, disable_statistics=1, **given)
