"""Converting one bag as a test wants it."""

import dataclasses

import pytest
from written_bags import MAPPING

from salus_ros.bags.convert import Converter
from salus_ros.bags.reading import Bag
from salus_ros.episodes import StoreReader


@pytest.fixture
def convert(tmp_path):
    """Convert a bag with a changed mapping; returns the report and the store, None without one."""

    def run(bag, mapping=MAPPING, **changes):
        out = tmp_path / "out.zarr"
        with Converter(dataclasses.replace(mapping, **changes), out) as converter, Bag(bag) as one:
            report = converter.convert(one)
        return report, StoreReader(out) if out.exists() else None

    return run
