"""Packaging of salus_ros: for colcon (ament_python) and for pip alike.

Name, version and description are package.xml's, the requirements are requirements/run.in's.
"""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(ROOT / "package.xml")
NAME = MANIFEST.findtext("name")
REQUIREMENTS = (ROOT / "requirements" / "run.in").read_text().splitlines()


def shipped(folder: str, pattern: str) -> tuple[str, list[str]]:
    """Files of `folder` that match, for the package's share folder, relative to the root."""
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / folder).glob(pattern))
    return f"share/{NAME}/{folder}", files


setup(
    name=NAME,
    version=MANIFEST.findtext("version"),
    description=MANIFEST.findtext("description"),
    license=MANIFEST.findtext("license"),
    maintainer=MANIFEST.findtext("maintainer"),
    maintainer_email=MANIFEST.find("maintainer").get("email"),
    python_requires=">=3.12",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["assets/**/*", "reports/templates/**/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        shipped("launch", "*.launch.py"),
        shipped("config", "*.*"),
        shipped("config/robots", "*.yaml"),
    ],
    install_requires=[line for line in REQUIREMENTS if line and not line.startswith("#")],
    extras_require={
        "test": ["pytest"],  # by this, colcon test runs pytest
        "ray": ["ray"],
        "foxglove": ["foxglove-sdk"],
        "metaworld": ["metaworld==3.0.0"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "salus = salus_ros.cli:main",
            "simulator = salus_ros.nodes.start:simulator",
            "vla = salus_ros.nodes.start:vla",
            "watch = salus_ros.nodes.start:watch",
            "predictor = salus_ros.nodes.start:predictor",
            "recorder = salus_ros.nodes.start:recorder",
            "episode = salus_ros.nodes.start:episode",
            "action_bridge = salus_ros.nodes.start:action_bridge",
            "recovery = salus_ros.nodes.start:recovery",
            "view = salus_ros.nodes.start:view",
        ],
    },
)
