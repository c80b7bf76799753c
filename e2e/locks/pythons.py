"""The Pythons of this machine. Does not know what they are for."""

import glob
import os
import shutil

from harness.processes import run
from harness.report import Failed

_MINORS = range(10, 15)

# Where pyenv keeps them; its shims, which are in PATH, only work where their version is chosen.
_PYENV = os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions")


def found(wanted=None, most=None):
    """Version, `3.12`, -> path. Of more than there are to be at `most`, those in the middle: 3.11 and 3.12."""
    pythons = {f"3.{minor}": path for minor in _MINORS if (path := _python(minor))}
    if missing := set(wanted or []) - set(pythons):
        raise Failed(f"there is no Python {', '.join(sorted(missing))} here; there are {', '.join(pythons)}")
    if wanted:
        return {version: pythons[version] for version in wanted}
    if not pythons:
        raise Failed("there is no Python from 3.10 on here")
    nearest = sorted(pythons, key=lambda version: abs(int(version[2:]) - 11.6))
    return {version: pythons[version] for version in sorted(nearest[:most])}


def path(pythons, directory):
    """A PATH on which each is found under its name, `python3.12`, by links that are put into `directory`."""
    os.makedirs(directory)
    for version, python in pythons.items():
        os.symlink(python, os.path.join(directory, f"python{version}"))
    return f"{directory}:{os.environ['PATH']}"


def _python(minor):
    places = [shutil.which(f"python3.{minor}"), *sorted(glob.glob(f"{_PYENV}/3.{minor}.*/bin/python3.{minor}"))]
    for place in filter(None, places):
        # What it is itself, be it a shim.
        told = run([place, "-c", "import sys; print(sys.executable)"])
        if told.code == 0:
            return told.output.strip()
    return None
