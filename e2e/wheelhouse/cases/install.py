"""Installing from the wheelhouse, without an index: by pip and by uv here, and run in the arm64 root, emulated."""

import json
import os

from harness.report import expect_equal
from wheelhouse.app import DAY, VERSIONS
from wheelhouse.programs import call, succeeded


def install(run):
    house = run.house()
    requirements = house.requirements_path("linux_amd64")

    with run.check("pip installs it without an index, and the app runs"):
        venv = _venv(run, "pip")
        pip = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--find-links", house.directory]
        installed = succeeded(call([*pip, "-r", requirements], PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS=""))
        run.note(f"pip installs it in {installed.seconds:.1f} s")
        succeeded(call([f"{venv}/bin/python", "-m", "pip", "check"]))
        runs(call([f"{venv}/bin/almanac"]), "x86_64")

    with run.check("uv installs it without an index, and the app runs"):
        venv = _venv(run, "uv", "--without-pip")
        uv = ["pip", "install", "--no-index", "--find-links", house.directory, "--require-hashes", "-r", requirements]
        installed = succeeded(run.uv.call(*uv, f"--python={venv}/bin/python"))
        run.note(f"uv installs it in {installed.seconds:.1f} s")
        runs(call([f"{venv}/bin/python", "-m", "almanac"]), "x86_64")

    with run.check("on arm64, emulated, the app says the same"):
        directory = run.directory("arm64-packages")
        uv = ["pip", "install", "--no-index", "--find-links", house.directory, "--require-hashes"]
        uv += [f"--target={directory}", "--python-platform=aarch64-manylinux_2_36", f"--python={run.python}"]
        succeeded(run.uv.call(*uv, "-r", house.requirements_path("linux_arm64")))
        root = run.options.arm64_root
        # Programs find their libraries, and Python its own modules, in the root before they are looked for here.
        emulated = ["qemu-aarch64-static", "-L", root, os.path.join(root, "usr/bin/python3.11"), "-S", "-m", "almanac"]
        runs(call(emulated, PYTHONPATH=directory, PYTHONHOME=os.path.join(root, "usr")), "aarch64")


def runs(ended, machine):
    """That the app says what it should."""
    document = json.loads(succeeded(ended).output)
    expect_equal(document["day"], DAY, "the day")
    expect_equal(document["machine"], machine, "the machine")
    expect_equal({name: document["versions"][name] for name in VERSIONS}, VERSIONS, "versions")


def _venv(run, name, *settings):
    path = os.path.join(run.directory("venvs"), name)
    succeeded(call([run.python, "-m", "venv", *settings, path]))
    return path
