"""Make the picture of the page: a recorded episode with an alarm, in Chromium.

salus predict shipped:pictures --model runs/demo-*/predictor --out runs/pictures.zarr
python scripts/view_picture.py runs/pictures.zarr --episode 0 --out docs/images/view.png
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from salus_ros.view.server import ViewServer
from salus_ros.view.stored import Recording

LOADED_MS = 5000
MIDDLE_ALARM = """(() => {
  const alarms = view.steps.filter((one) => one.level === "alarm");
  return alarms.length ? alarms[Math.floor(alarms.length / 2)].step : 0;
})()"""


def main() -> None:
    """Open the page, go to the alarm, save the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="store of episodes with live predictions")
    parser.add_argument("--episode", type=int, required=True, help="one with an alarm, from 0")
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    given = parser.parse_args()
    server = ViewServer(Recording(given.store, given.episode))
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        # Without a sandbox, as a container needs it: the page is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(server.address)
        page.wait_for_selector("#place:has-text('step')")
        page.fill("#slider", str(page.evaluate(MIDDLE_ALARM)))
        page.wait_for_timeout(LOADED_MS)
        page.screenshot(path=given.out, full_page=True)
        browser.close()
    server.close()


if __name__ == "__main__":
    main()
