"""Make the picture of the page: a recorded episode with an alarm, or a report, in Chromium.

salus collect --out runs/seen.zarr --seed 11405 --episodes 1 --images --lookahead
salus predict runs/seen.zarr --model runs/demo-*/predictor --out runs/pictures.zarr
python scripts/view_picture.py runs/pictures.zarr --episode 0 --out docs/images/view.png
salus report runs/a.zarr --alarms runs/clips --out day
python scripts/view_picture.py day/index.html --out docs/images/alarms.png
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from salus_ros.view.server import ViewServer
from salus_ros.view.stored import Recording

LOADED_MS = 5000
REPORT_HEIGHT = 1600
MIDDLE_ALARM = """(() => {
  const alarms = view.steps.filter((one) => one.level === "alarm");
  return alarms.length ? alarms[Math.floor(alarms.length / 2)].step : 0;
})()"""


def main() -> None:
    """Open the page, go to the alarm, save the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "store", type=Path, help="store of episodes with live predictions, or a report's page"
    )
    parser.add_argument("--episode", type=int, default=0, help="one with an alarm, from 0")
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    given = parser.parse_args()
    report = given.store.suffix == ".html"
    server = None if report else ViewServer(Recording(given.store, given.episode))
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        # Without a sandbox, as a container needs it: the page is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        height = 900 if server is not None else REPORT_HEIGHT
        page = browser.new_page(viewport={"width": 1280, "height": height})
        if server is None:
            page.goto(given.store.resolve().as_uri())
        else:
            page.goto(server.address)
            page.wait_for_selector("#place:has-text('step')")
            page.fill("#slider", str(page.evaluate(MIDDLE_ALARM)))
            page.wait_for_timeout(LOADED_MS)
        page.screenshot(path=given.out, full_page=server is not None)
        browser.close()
    if server is not None:
        server.close()


if __name__ == "__main__":
    main()
