"""The base of the project's components: a component's spec is its one declaration."""

from __future__ import annotations

from typing import Any

from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_component, base_component


class SpecComponent(base_component.BaseComponent):  # type: ignore[misc]
    """A TFX component that takes what its spec declares, each by its name, and makes the channels of its outputs.

    TFX checks the types. It would ignore an unknown argument and a missing optional one, so both are errors here: an
    input that may be empty is given as an empty channel or None.

    Raises:
      TypeError: If an input or a parameter of the spec is missing, an argument is unknown, or one has the wrong type.
    """

    def __init__(self, **given: Any):
        spec = self.SPEC_CLASS
        expected = {*spec.INPUTS, *spec.PARAMETERS}
        if wrong := expected.symmetric_difference(given):
            name = type(self).__name__
            raise TypeError(f"{name} takes {sorted(expected)}. Received: {sorted(given)}, so {sorted(wrong)} are wrong")
        outputs = {name: types.Channel(type=output.type) for name, output in spec.OUTPUTS.items()}
        super().__init__(spec=spec(**given, **outputs))


class SpecBeamComponent(SpecComponent, base_beam_component.BaseBeamComponent):  # type: ignore[misc]
    """A `SpecComponent` whose executor runs on Beam."""
