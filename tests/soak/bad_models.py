"""Runs every case of the tables of bad days and bad models (`tests/e2e/bad_data.py`, `tests/e2e/bad_models.py`).

    python -m tests.soak.bad_models [PYTEST OPTIONS]

Each case is a whole run, from the logs or from a trained model on. Its gate must stop it while the served version keeps
answering. The slow tests contain a case for each gate; tests of the components cover the rules without a run. Exits
with code 1 if a case is not stopped.
"""

from __future__ import annotations

import sys

import pytest

from tests.e2e import store

TABLE = store.ROOT / "tests" / "e2e" / "test_bad_models.py"

if __name__ == "__main__":
    sys.exit(pytest.main([str(TABLE), "--all-rows", "-v", "--durations=0", *sys.argv[1:]]))
