"""The app as files of its own: copied, with the repository it needs, and what is known of it. Does not know what is made
of it."""

import os
import shutil

from harness.files import read
from wheelhouse import repository

HERE = os.path.dirname(os.path.abspath(__file__))

PYTHON = "3.11"
TARGETS = ["linux_amd64", "linux_arm64"]

# What has to be built of it: for both, as there is no wheel of it that fits or no wheel at all, as it is no file of an
# index, or as the app says so; and for arm64 alone, as there is a wheel for amd64.
BUILT = {"docopt", "intervaltree", "itsdangerous", "lru-dict", "python-geohash"}
TREES = {"almanac", "almanac-units", "phases", "tides"}
BUILT_FOR_ARM64 = {"ciso8601", "ukkonen"}
# Those with machine code.
NATIVE = {"lru-dict", "python-geohash", "phases", "ciso8601", "ukkonen"}


def built(target):
    return BUILT | TREES | (BUILT_FOR_ARM64 if target == "linux_arm64" else set())


# Versions that are not in the lock, but known to a backend alone.
VERSIONS = {"almanac-units": "2.1.0", "tides": "1.4.0"}

# What it says of the day that nobody names.
DAY = {
    "date": "2024-12-24T18:00:00",
    "heading": "<h1>A day</h1>",
    "moon": "last quarter",
    "next_week": "2024-12-31",
    "place": "u1x0ek",
    "season": "winter",
    "tide": "-1.42 m",
    "yesterday": 1,
}


class App:
    """A copy of the app, and the repository that git finds at the address in its lock."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "app")
        shutil.copytree(
            os.path.join(HERE, "app"), self.directory, ignore=shutil.ignore_patterns(".venv", "__pycache__")
        )
        self.commit = repository.make(os.path.join(directory, "tides"))
        self.environment = repository.reached(os.path.join(directory, "tides"))

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def lock(self):
        return read(self.path("uv.lock"))

    def write(self, path, text):
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)
