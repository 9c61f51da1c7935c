"""Takes the pictures of a run's page that the documents show.

`python -m benchmarks.report_screenshots --workspace runs/workspace` opens the newest run's page and the index from disk
in a headless Chromium, in light or dark colours, and writes PNG files of at most 256 colours. Where a workspace has no
pages yet, `wdr report` writes them.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from pipeline.report.records import report_files
from tests.browser import new_browser
from transform.errors import InputError

_DESKTOP = (1440, 900)

#: The pictures: the page's anchor at their top, the size in pixels, and the colour scheme.
_PICTURES = {
    "report": ("", _DESKTOP, "light"),
    "report_scores": ("#scores", _DESKTOP, "dark"),
}


def pictures(browser: Browser, page: Path, index: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the name of each picture, and its PNG file."""
    for name, (anchor, (width, height), scheme) in _PICTURES.items():
        yield name, _picture(browser, f"{page.as_uri()}{anchor}", width, height, scheme)
    yield "report_index", _picture(browser, index.as_uri(), *_DESKTOP, "light")


def _picture(browser: Browser, address: str, width: int, height: int, scheme: str) -> bytes:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page.emulate_media(reduced_motion="reduce")
    page.goto(address)
    page.evaluate("window.drawn")
    page.evaluate("location.hash && document.querySelector(location.hash).scrollIntoView()")
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.close()
    file = io.BytesIO()
    taken.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    """Takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True, help="the workspace")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="the folder of the pictures")
    arguments = parser.parse_args()
    reports = arguments.workspace.absolute() / "reports"
    written = (file.with_suffix(".html") for file in report_files(reports))  # a page is written again for later links
    pages = [page for page in written if page.exists()]
    if not pages:
        raise InputError(f"a workspace must have the page of a run. Received: none ({reports})")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with new_browser() as browser:
        for name, picture in pictures(browser, pages[-1], reports / "index.html"):
            (arguments.out / f"{name}.png").write_bytes(picture)
            sys.stdout.write(f"{name}.png: {len(picture) / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
