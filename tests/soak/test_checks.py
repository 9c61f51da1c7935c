"""What the campaigns check, by hand; their short forms are among the other tests."""

from __future__ import annotations

import sys

import pytest

from tests.soak import ten_days


@pytest.mark.parametrize(
    ("days", "loss", "error"),
    [
        ("10", "0.002", "Received: 0.018, by 10 days with a loss of 0.002"),
        ("5", "0.005", "Received: 0.02, by 5 days with a loss of 0.005"),  # the noise may leave 0.0198
    ],
)
def test_a_series_that_cannot_fail_is_refused(
    days: str, loss: str, error: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ten_days", "--days", days, "--losses", "0", loss])
    with pytest.raises(SystemExit) as ended:
        ten_days.main()
    assert ended.value.code == 2
    assert error in capsys.readouterr().err
