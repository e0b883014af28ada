"""The live page: what the view node costs, and how old the images are that a page gets.

Real processes on real DDS: a source publishes three 256 x 256 cameras, joints, actions, signals
and predictions of a shipped episode at 30 Hz by the wall clock; the view node serves them to no
page, to one and to ten, which ask as a browser does. The reference runs at the same time: a node
that subscribes to the same topics in the usual way and does nothing.

    python benchmark/bench_view.py [--seconds 30] [--json]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import rclpy
from bench_recording import Source
from processes import cpu_s, peak_mb, started

from salus_ros.core import schema
from salus_ros.worlds.panda import CAMERAS

PAGES = (0, 1, 10)
SETTLE_S = 3.0
PORT = 8087
URL = f"http://127.0.0.1:{PORT}/"


async def browse(seconds: float) -> tuple[int, list[float]]:
    """Be a page: show every update and say so. Returns how many, and the images' ages in ms."""
    updates, ages_ms = 0, []
    end = time.monotonic() + seconds
    headers = {"Origin": URL.rstrip("/")}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(URL + "live", headers=headers, max_msg_size=0) as connection,
    ):
        while time.monotonic() < end:
            update = await connection.receive_json()
            for _, stamp_s in update["frames"]:
                await connection.receive_bytes()
                ages_ms.append((time.time() - stamp_s) * 1e3)
            updates += bool(update["frames"])
            await connection.send_str("shown")
    return updates, ages_ms[len(ages_ms) // 10 :]  # without the first, kept from before


async def browse_all(count: int, seconds: float) -> None:
    """Be so many pages, and print what they saw."""
    sys.stdout.write("open\n")
    sys.stdout.flush()
    told = await asyncio.gather(*(browse(seconds) for _ in range(count)))
    ages_ms = np.concatenate([ages for _, ages in told])
    figures = {
        "updates_hz": float(np.mean([updates for updates, _ in told])) / seconds,
        "age_p50_ms": float(np.percentile(ages_ms, 50)),
        "age_p95_ms": float(np.percentile(ages_ms, 95)),
    }
    sys.stdout.write(json.dumps(figures))


def run(seconds: float) -> dict[str, Any]:
    """Measure each number of pages."""
    namespace = f"/bench_{time.time_ns()}"
    ros = ["--ros-args", "-r", f"__ns:={namespace}", "-p", f"port:={PORT}"]
    listener = [str(Path(__file__).with_name("bench_recording.py")), "--listen", namespace]
    figures: dict[str, Any] = {"seconds": seconds, "rate_hz": schema.RATE_HZ, "pages": {}}
    rclpy.init()
    try:
        with (
            started("-m", "salus_ros.nodes.view", *ros) as view,
            started(*listener) as reference,
        ):
            source = Source(namespace)
            listened = [source.out["signals"], source.out["failure_horizons"]]
            source.spin_until(
                lambda: all(one.get_subscription_count() == 2 for one in listened), "both nodes"
            )
            for pages in PAGES:
                figures["pages"][str(pages)] = measure(
                    source, pages, seconds, view.pid, reference.pid
                )
            figures["view_peak_mb"] = peak_mb(view.pid)
            figures["late_s"] = source.late_s
            source.destroy_node()
    finally:
        rclpy.try_shutdown()
    return figures


def measure(
    source: Source, pages: int, seconds: float, view: int, reference: int
) -> dict[str, float]:
    """Publish for a while, with so many pages open; shares of a core, and what the pages saw."""
    rate_hz = schema.RATE_HZ
    browser = None
    if pages:
        given = ["--pages", str(pages), "--seconds", str(seconds + 2 * SETTLE_S)]
        browser = subprocess.Popen([sys.executable, __file__, *given], stdout=subprocess.PIPE)
        assert browser.stdout is not None
        browser.stdout.readline()  # it is about to open them
        camera = source.out[f"camera/{CAMERAS[0]}/image_raw"]
        source.spin_until(lambda: camera.get_subscription_count() == 2, "a page")
    first_s = time.monotonic() + 0.2
    first_s = source.run(f"settle{pages}", round(SETTLE_S * rate_hz), rate_hz, first_s)
    before = [cpu_s(pid) for pid in (view, reference)]
    begun_s = time.monotonic()
    steps = round(seconds * rate_hz)
    source.run(f"pages{pages}", steps, rate_hz, first_s)
    took_s = time.monotonic() - begun_s
    used = [cpu_s(pid) - past for pid, past in zip((view, reference), before, strict=True)]
    figures = {"view_cpu": used[0] / took_s, "reference_cpu": used[1] / took_s}
    figures["published_hz"] = steps / took_s
    figures["ratio"] = figures["view_cpu"] / figures["reference_cpu"]
    if browser is not None:
        source.run(f"last{pages}", round(SETTLE_S * rate_hz), rate_hz, time.monotonic())
        figures |= json.loads(browser.communicate()[0])
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="for each number of pages")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--pages", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pages:
        asyncio.run(browse_all(given.pages, given.seconds))
        return
    figures = run(given.seconds)
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    print("pages   view, of a core   a node that does nothing   ratio   age p50, p95 in ms")
    for pages, of in figures["pages"].items():
        ages = [of.get(f"age_p{part}_ms", float("nan")) for part in (50, 95)]
        print(
            f"{pages:>5}{of['view_cpu']:18.3f}{of['reference_cpu']:27.3f}{of['ratio']:8.2f}"
            f"{ages[0]:12.0f}{ages[1]:7.0f}"
        )
    slowest = min(of["published_hz"] for of in figures["pages"].values())
    print(f"aim: 0.1 of a core at {figures['rate_hz']:g} Hz; the source kept {slowest:.1f} Hz")


if __name__ == "__main__":
    main()
