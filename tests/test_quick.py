"""`make quick` takes the tests of the changed folders, and of the modules that import from them."""

from __future__ import annotations

import pytest

from tests.quick import files_to_run

SOURCES = {
    name: (source, name.rpartition(".")[0])
    for name, source in {
        "transform.rules": b"import os",
        "transform.config.keys": b"from transform import rules",
        "components.gate.judge": b"from transform.config.keys import KEYS",
        "components.gate.words": b"",
        "pipeline.run": b"def main():\n  from components.gate import words",
        "tests.helper": b"CONFIG = 'store.yaml'",
        "tests.components.gate.test_rooms": b"",
        "tests.components.test_judge": b"from components.gate.judge import judge",
        "tests.pipeline.test_run": b"from pipeline.run import main",
        "tests.transform.test_rules": b"from transform import rules\nfrom tests import helper\nFILE = 'small.yaml'",
    }.items()
}
GATE = ["tests/components/gate/test_rooms.py", "tests/components/test_judge.py"]
RUN, RULES = "tests/pipeline/test_run.py", "tests/transform/test_rules.py"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ([], []),
        (["components/gate/words.py"], [*GATE, RUN]),
        (["components/gate/removed.py"], [*GATE, RUN]),
        (["transform/rules.py"], [RULES]),
        (["transform/config/keys.py"], [GATE[1]]),
        (["pipeline/run.py", RUN], [RUN]),
        (["tests/helper.py"], [RULES]),
        (["configs/small.yaml"], [RULES]),
        (["configs/large.yaml"], []),
    ],
)
def test_files_to_run_a_change(changed: list[str], expected: list[str]) -> None:
    assert files_to_run(changed, SOURCES) == expected
