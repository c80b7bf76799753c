"""What the workspace has to give, and how to read a build of it.

One app on two packages that come as sdists only: cowsay, which is pure, though nothing says so before it is built, and
markupsafe, a C extension. Each is built on a worker of the platform that it is for.
"""

import collections
import re

from harness.report import expect_equal, tail

# What the kernel calls the machines.
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}

EVERYTHING = ["//app:image_index"] + [
    f"//app:{arch}_{what}" for arch in ARCHITECTURES for what in ("layers_listing", "output")
]

# Actions of one mnemonic that it takes to build everything.
ACTIONS = {
    "PySdistBuild": 4,
    "PyImageLayer": 4,
    "LayersListing": 2,
    "RunLayers": 2,
    "OciImage": 2,
    "OciImageIndex": 1,
}

# File names of the wheels, and the one module in them.
WHEELS = {
    "cowsay": lambda machine: ("cowsay-6.0-py2.py3-none-any.whl", None),
    "markupsafe": lambda machine: (
        f"MarkupSafe-2.1.5-cp311-cp311-linux_{machine}.whl",
        f"markupsafe/_speedups.cpython-311-{machine}-linux-gnu.so",
    ),
}


class Spawns:
    """The actions of a build, and which of them are for which platform."""

    def __init__(self, build):
        self.build = build
        self.all = build.spawns
        # A wheel's command line names its platform; whatever else is in the same directory is for the same one.
        self._of_directory = {configuration(spawn): _target(spawn) for spawn in self.of("PySdistBuild")}

    def of(self, mnemonic):
        return sorted((spawn for spawn in self.all if spawn["mnemonic"] == mnemonic), key=output)

    def mnemonics(self):
        return dict(collections.Counter(spawn["mnemonic"] for spawn in self.all))

    def arch(self, spawn):
        return self._of_directory[configuration(spawn)]

    def wheel(self, spawn):
        """Package and architecture of a PySdistBuild."""
        return re.search(r"/third_party/([a-z]+)", output(spawn))[1], _target(spawn)


def _target(spawn):
    (target,) = [one for one in spawn["commandArgs"] if one.startswith("--target=linux_")]
    return target.removeprefix("--target=linux_")


def output(spawn):
    """The path of its only output; everything here has just one."""
    (path,) = spawn["listedOutputs"]
    return path


def configuration(spawn):
    """The directory of bazel-out that its output is in."""
    return output(spawn).split("/")[1]


def properties(spawn):
    """The properties that the executor was asked for."""
    return {one["name"]: one["value"] for one in spawn["platform"]["properties"]}


def started(server):
    """How many actions were started in each pool since the server was."""
    found = re.findall(r'^crosswheel_actions_started_total\{pool="(\w+)"\} (\d+)$', server.metrics(), re.MULTILINE)
    return {pool: int(count) for pool, count in found}


def succeeded(build):
    expect_equal(build.code, 0, f"exit code of Bazel, which said:\n{tail(build.output)}\n")
    return build
