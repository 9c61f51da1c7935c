import pytest
from tfx import types
from tfx.types import standard_artifacts

from components.late_labels.component import LateLabels

_EXAMPLES = types.Channel(type=standard_artifacts.Examples)
_GIVEN = {"examples": _EXAMPLES, "preceding": None, "config": "{}", "code_fingerprint": "f00"}


def test_a_component_has_what_its_spec_declares() -> None:
    component = LateLabels(**_GIVEN)
    assert component.exec_properties == {"config": "{}", "code_fingerprint": "f00"}
    assert set(component.inputs) == {"examples"}  # the optional one is None
    assert {name: channel.type for name, channel in component.outputs.items()} == {
        "completed": standard_artifacts.Examples
    }


def test_a_missing_optional_input_is_an_error() -> None:
    given = {name: value for name, value in _GIVEN.items() if name != "preceding"}
    with pytest.raises(TypeError, match=r"LateLabels takes .*so \['preceding'\] are wrong"):
        LateLabels(**given)


def test_an_unknown_argument_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"Received: .*so \['precedes'\] are wrong"):
        LateLabels(**_GIVEN, precedes=_EXAMPLES)


def test_tfx_checks_the_types() -> None:
    with pytest.raises(TypeError, match="Expected type <class 'str'> for parameter 'config'"):
        LateLabels(**{**_GIVEN, "config": 1})
