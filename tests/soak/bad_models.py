"""Every row of the table of bad days and bad models (`tests/e2e/bad_data.py`, `tests/e2e/bad_models.py`).

    python -m tests.soak.bad_models [PYTEST OPTIONS]

Each is a whole run, from the logs or from a trained model on, which its gate must stop, while what serves goes on to
answer; the slow tests have those that no test of the components has. Ends with exit code 1 if one is not stopped.
"""

from __future__ import annotations

import sys

import pytest

from tests.e2e import store

TABLE = store.ROOT / "tests" / "e2e" / "test_bad_models.py"

if __name__ == "__main__":
    sys.exit(pytest.main([str(TABLE), "--all-rows", "-v", "--durations=0", *sys.argv[1:]]))
