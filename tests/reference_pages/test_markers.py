"""A page's written part stands between two markers."""

from __future__ import annotations

import pytest

from tests.reference_pages.markers import BEGIN, END, rewritten


def test_what_is_around_the_written_part_stays() -> None:
    assert rewritten(f"a\n{BEGIN}\nold\n{END}\nb\n", "new\n") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb\n"


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{END}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="each marker once"):
        rewritten(page, "new\n")
