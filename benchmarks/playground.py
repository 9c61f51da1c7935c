"""Measures the playground: the time from the request to the new order, as the page itself measures it.

    wdr serve --models runs/workspace/serving
    wdr rank-service --model app_store --ui --examples runs/workspace/serving/app_store/3
    python -m benchmarks.playground --url http://127.0.0.1:8080

The page waits for a pause in the typing before the request; that time does not count. The target is 100 ms for 200
candidates. It needs Chromium.
"""

from __future__ import annotations

import argparse
import statistics

from playwright.sync_api import sync_playwright

from tests.debian import installed


def measure(url: str, repetitions: int) -> list[float]:
    """The milliseconds of each ranking, from the request to the changed page."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=installed("chromium", "chromium"), args=["--disable-gpu"], chromium_sandbox=False
        )
        page = chromium.new_page()
        page.goto(f"{url}/ui/")
        page.wait_for_selector("body[data-explained]")
        found = []
        example = page.locator("#example")
        for number in range(repetitions):
            example.select_option(index=(number + 1) % example.locator("option").count())
            edited = page.locator("body").get_attribute("data-edited")
            page.wait_for_selector(f'body[data-ranked="{edited}"][data-explained="{edited}"]')
            found.append(float(page.locator("body").get_attribute("data-milliseconds") or "nan"))
        print(page.inner_text("#status"))
        chromium.close()
    return found


def main() -> None:
    """Prints the median and the 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--repetitions", type=int, default=50)
    options = parser.parse_args()
    times = measure(options.url, options.repetitions)
    tail = statistics.quantiles(times, n=20)[-1]
    print(f"{len(times)} rankings: median {statistics.median(times):.1f} ms, 95th percentile {tail:.1f} ms")


if __name__ == "__main__":
    main()
