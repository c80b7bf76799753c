"""What is installed once and kept, below one directory. Does not know what it is for."""

import glob
import os
import shutil
import sys

from harness.processes import run
from harness.report import Failed, tail

# Wheels of everything: nothing is compiled.
_PIP = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary=:all:"]


def made(directory, name, make):
    """The path of `name` in `directory`, which `make(partial)` makes if it is not there."""
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        partial = f"{path}.partial"
        if os.path.isdir(partial):
            shutil.rmtree(partial)
        os.makedirs(directory, exist_ok=True)
        print(f"Making {path}", flush=True)
        make(partial)
        os.rename(partial, path)
    return path


def call(command, **settings):
    """Runs a command that has to succeed; what it said."""
    finished = run(command, **settings)
    if finished.code != 0:
        raise Failed(f"{' '.join(command)} failed:\n{tail(finished.output)}")
    return finished.output


def venv(directory, name, requirements):
    """A virtual environment of the running Python with `requirements`; its `python`."""

    def make(partial):
        call([sys.executable, "-m", "venv", partial])
        call([os.path.join(partial, "bin/python"), "-m", "pip", *_PIP, *requirements])

    return os.path.join(made(directory, name, make), "bin/python")


def packages(directory, name, version, requirements):
    """A directory with exactly these `requirements`, as pip's arguments, for the Python of another `version`.

    This Python's pip installs it, so that the other needs none: it would take what is required of Python for itself.
    """

    def make(partial):
        target = [f"--target={partial}", f"--python-version={version}", "--implementation=cp"]
        complete = ["--no-deps", "--ignore-requires-python"]
        call([sys.executable, "-m", "pip", *_PIP, *target, *complete, *requirements])

    return made(directory, name, make)


def python_from(oldest):
    """Path and version of a Python of this machine that is 3.`oldest` or a little newer; None if there is none."""
    for minor in range(oldest, oldest + 5):
        places = [shutil.which(f"python3.{minor}"), *sorted(glob.glob(f"{_PYENV}/3.{minor}.*/bin/python3.{minor}"))]
        for place in filter(None, places):
            if run([place, "-c", ""]).code == 0:
                return place, f"3.{minor}"
    return None


# Where pyenv keeps them; its shims, which are in PATH, only work where their version is chosen.
_PYENV = os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions")
