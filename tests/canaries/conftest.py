"""A failed check shows the values that it compared."""

import pytest

for checks in ("metadata_checks", "tensorflow_checks", "tfx_checks", "uvicorn_checks"):
    pytest.register_assert_rewrite(f"tests.canaries.{checks}")
