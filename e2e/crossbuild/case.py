"""The reference case: one app, its wheels, layers and images for two architectures, built at once.

Two packages that come as sdists only, cowsay (pure, but nothing says so before it is built) and markupsafe (a C
extension), are each built on a worker of the platform that they are for.
"""

import collections
import contextlib
import io
import itertools
import os
import re
import tarfile

from crossbuild import action_results
from crossbuild.images import Layout
from crossbuild.wheels import Wheel, machine
from harness.files import read
from harness.report import expect, expect_equal, expect_in, tail

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


# 1. What is planned


def placement(run, bazel):
    if bazel.major >= 7:
        _aquery(run, bazel)
    else:
        _resolution(run, bazel)


# The lines of aquery that say where an action goes.
_PLACEMENT = ("  Execution platform:", "  ExecutionInfo:")


def _aquery(run, bazel):
    # The command of the reference case's test plan.
    flags = [
        "--platforms=//platforms:arm64_linux",
        "--host_platform=//platforms:amd64_linux",
        "--extra_execution_platforms=//platforms:all",
    ]
    with run.check("aquery: two PySdistBuild actions of each package", needed=True):
        query = succeeded(bazel.build("deps(//app:image_index)", command="aquery", flags=flags))
        planned = [block for block in query.output.split("\n\n") if "\n  Mnemonic: PySdistBuild\n" in block]
        by_package = collections.Counter(re.search(r"Target: //third_party:(\w+)", block)[1] for block in planned)
        expect_equal(dict(by_package), {"cowsay": 2, "markupsafe": 2}, "actions of a package")
    for package in WHEELS:
        blocks = [block for block in planned if f"\n  Target: //third_party:{package}\n" in block]
        with run.check(f"aquery: {package}: one on each platform, with its properties"):
            placed = sorted([line for line in block.splitlines() if line.startswith(_PLACEMENT)] for block in blocks)
            expected = [
                [
                    f"  Execution platform: //platforms:{arch}_linux",
                    f"  ExecutionInfo: {{Arch: {arch}, OSFamily: Linux}}",
                ]
                for arch in ARCHITECTURES
            ]
            expect_equal(placed, expected, "placement")
        with run.check(f"aquery: {package}: the output is a tree of its own"):
            outputs = {re.search(r"\n  Outputs: \[(.*)\]", block)[1] for block in blocks}
            expect_equal(len(outputs), 2, f"different outputs of {len(blocks)} actions, which are {outputs}")
            for output in outputs:
                expect(output.endswith(" (TreeArtifact)"), f"{output} is not a tree")


def _resolution(run, bazel):
    with run.check("--toolchain_resolution_debug: each platform's builds go to that platform"):
        flags = ["--nobuild", "--toolchain_resolution_debug"]
        build = succeeded(bazel.build("//app:image_index", flags=flags))
        for arch in ARCHITECTURES:
            platform = f"//platforms:{arch}_linux"
            selected = re.findall(
                rf"ToolchainResolution: Target platform {platform}: Selected execution platform (\S+), "
                "type //platforms:toolchain_type -> ",
                build.output,
            )
            expect_equal(set(selected), {platform}, f"execution platforms for wheels for {platform}")


# 2. and 3. What is built, and what is not built again


def builds(run, bazel):
    with run.server() as server:
        with run.check("cold: everything is built, remotely", needed=True):
            cold = Spawns(succeeded(bazel.build(*EVERYTHING, server=server)))
            expect_equal(cold.build.not_ran("remote"), [], "actions that were not run remotely")
            expect_equal(cold.mnemonics(), ACTIONS, "actions")
            run.note(f"cold: {len(cold.all)} actions in {cold.build.seconds:.1f} s")

        _properties(run, cold)
        _wheels(run, bazel, cold)
        _workers(run, server, cold)
        _outputs(run, bazel, cold)
        _images(run, bazel)
        _warm(run, bazel, server)
        _touched(run, bazel, server)


def _properties(run, cold):
    with run.check("the wheels and the app's run are asked of the platform that they are for, all else of amd64"):
        for spawn in cold.all:
            arch = cold.arch(spawn) if spawn["mnemonic"] in ("PySdistBuild", "RunLayers") else "amd64"
            expect_equal(properties(spawn), {"Arch": arch, "OSFamily": "Linux"}, output(spawn))


def _wheels(run, bazel, cold):
    for spawn in cold.of("PySdistBuild"):
        package, arch = cold.wheel(spawn)
        kernel_name = ARCHITECTURES[arch]
        file_name, module = WHEELS[package](kernel_name)
        with run.check(f"the wheel of {package} for {arch}: name, tags, machine code, report"):
            wheel = Wheel(bazel.path(output(spawn)))
            expect_equal(wheel.file_name, file_name, "file name")
            expect_equal(wheel.tags(), expanded(file_name), "tags in the wheel")
            expect_equal(wheel.report["tags"], wheel.tags(), "tags of the report")
            expect_equal(wheel.machines(), {module: kernel_name} if module else {}, "modules and their machines")
            expect_equal(wheel.report["pure"], module is None, "pure")
            expect_equal(wheel.report["target"], f"linux_{arch}", "target of the report")
            expect_equal(wheel.report["emulated"], arch == "arm64", "emulated")
            compiler = wheel.report["compiler"]
            how = "emulated" if arch == "arm64" else "native"
            expect_equal(compiler and compiler["kind"], how if module else None, "kind of compiler")


def _workers(run, server, cold):
    with run.check("the worker that each result names is of the pool that fits"):
        for spawn in cold.all:
            result = action_results.making(server.store, output(spawn))
            pool = properties(spawn)["Arch"]
            expect(result.worker.startswith(f"{pool}/"), f"{output(spawn)} was made by {result.worker}, not in {pool}")
            if "digest" in spawn:  # Bazel 4 does not tell
                expect_equal(result.action, spawn["digest"]["hash"], f"the action that made {output(spawn)}")

    with run.check("the server counted as many actions in each pool"):
        expect_equal(started(server), {"amd64": 12, "arm64": 3}, "actions started in each pool")


def _outputs(run, bazel, cold):
    for spawn in cold.of("RunLayers"):
        kernel_name = ARCHITECTURES[cold.arch(spawn)]
        with run.check(f"the app runs from its layers on {kernel_name}, with the C extension for it"):
            text = read(bazel.path(output(spawn)))
            expect_in(f"| &lt;moo&gt; on {kernel_name} |", text)
            expect_in(f"_speedups.cpython-311-{kernel_name}-linux-gnu.so\n", text)


def _images(run, bazel):
    layout = Layout(bazel.output_path("app/image_index"))
    with run.check("skopeo: an index of two images, by their platforms", needed=True):
        index = layout.raw()
        expect_equal(index["mediaType"], "application/vnd.oci.image.index.v1+json", "media type")
        platforms = [manifest["platform"] for manifest in index["manifests"]]
        expected = [{"architecture": arch, "os": "linux"} for arch in ARCHITECTURES]
        expect_equal(platforms, expected, "platforms of the index")

    for arch, kernel_name in ARCHITECTURES.items():
        with run.check(f"skopeo: what {arch} would pull: platform, entry point and layers"):
            config = layout.config(arch)
            expect_equal((config["os"], config["architecture"]), ("linux", arch), "platform")
            expect_equal(config["config"]["Entrypoint"], ["/usr/bin/python3", "/app/app.py"], "entry point")
            expect_equal(len(config["rootfs"]["diff_ids"]), 2, "layers")

        with run.check(f"umoci: what {arch} would unpack: the files of the listing, with a module for {kernel_name}"):
            root = layout.pull(arch, run.directory(f"pulled-{arch}"))
            listing = read(bazel.path(f"app/{arch}_layers.expected.txt")).splitlines()
            listed = {line.split()[-1] for line in listing if line.startswith("-")}
            expect_equal(files_below(root), listed, "files")
            module = f"app/lib/markupsafe/_speedups.cpython-311-{kernel_name}-linux-gnu.so"
            with open(os.path.join(root, module), "rb") as file:
                expect_equal(machine(file.read(), module), kernel_name, f"machine of {module}")

    with run.check("the two images share the layer that is the app, and no other"):
        amd64, arm64 = (layout.config(arch)["rootfs"]["diff_ids"] for arch in ARCHITECTURES)
        expect(amd64[0] != arm64[0], "the layers of packages are the same")
        expect_equal(amd64[1], arm64[1], "the layer of the app")

    digest = read(os.path.join(layout.directory, "index.json"))
    if "index" in run.built:
        with run.check("the other Bazel built the very same index"):
            expect_equal(digest, run.built["index"], "index.json")
    run.built["index"] = digest


def _warm(run, bazel, server):
    with run.check("warm: everything comes from the cache, and nothing is executed"):
        before = started(server)
        bazel.clean()
        warm = Spawns(succeeded(bazel.build(*EVERYTHING, server=server)))
        expect_equal(warm.build.not_ran("remote cache hit"), [], "actions that did not come from the cache")
        expect_equal(warm.build.ran("remote cache hit"), sum(ACTIONS.values()), "hits, in Bazel's own words")
        expect_equal(warm.build.ran("remote"), 0, "remote executions, in Bazel's own words")
        expect_equal(warm.mnemonics(), ACTIONS, "actions")
        expect_equal(started(server), before, "actions started in each pool")
        run.note(f"warm: {len(warm.all)} hits in {warm.build.seconds:.1f} s")

    with run.check("nothing changed: nothing is even asked for"):
        again = Spawns(succeeded(bazel.build(*EVERYTHING, server=server)))
        expect_equal(again.mnemonics(), {}, "actions")
        expect_equal(started(server), before, "actions started in each pool")


def _touched(run, bazel, server):
    with run.check("one sdist touched: it is built once for each platform, and then only what holds it"):
        before = started(server)
        with touched(bazel.path("third_party/cowsay-6.0.tar.gz")):
            again = Spawns(succeeded(bazel.build(*EVERYTHING, server=server)))
        expect_equal(again.mnemonics(), {**ACTIONS, "PySdistBuild": 2, "PyImageLayer": 2}, "actions")
        expect_equal(again.build.not_ran("remote"), [], "actions that were not run remotely")
        built = {again.wheel(spawn) for spawn in again.of("PySdistBuild")}
        expect_equal(built, {("cowsay", arch) for arch in ARCHITECTURES}, "wheels built")
        grown = {pool: count - before[pool] for pool, count in started(server).items()}
        expect_equal(grown, {"amd64": 9, "arm64": 2}, "actions started in each pool")


# 4. Negative controls: what must not succeed


def without_exec_group(run, bazel):
    """Placed as Bazel places actions of no group: all on amd64, where only one of each two wheels can be built."""
    group = '        exec_group = "target",\n'
    with run.server() as server, changed(bazel.path("platforms/defs.bzl"), group, ""):
        with run.check("without the exec group: all builds land on amd64"):
            bazel.clean()
            build = bazel.build("//app:image_index", server=server, flags=["--keep_going"])
            spawns = Spawns(build)
            builds = {spawns.wheel(spawn) for spawn in spawns.of("PySdistBuild")}
            expect_equal(builds, {(package, arch) for package in WHEELS for arch in ARCHITECTURES}, "builds")
            for spawn in spawns.all:
                expect_equal(properties(spawn), {"Arch": "amd64", "OSFamily": "Linux"}, output(spawn))
            expect_equal(started(server)["arm64"], 0, "actions started in the arm64 pool")

        with run.check("... and those for arm64 fail, with a reason, whether they are pure or not"):
            expect_equal(build.code, 1, "exit code of Bazel")
            for spawn in spawns.of("PySdistBuild"):
                package, arch = spawns.wheel(spawn)
                expect_equal(spawn.get("exitCode", 0), 19 if arch == "arm64" else 0, f"exit code of {package}, {arch}")
            told = build.output.count("wheel refused: the wheel must be for linux_arm64, but Python at ")
            expect_equal(told, len(WHEELS), f"how often the reason is told in\n{tail(build.output)}\n")
            expect_in("hint: run this step on a machine, or in a root file system, of the target's arch", build.output)

        with run.check("... and no image for arm64, nor an index, comes of it"):
            for result in action_results.of(server.store):
                for path in result.outputs:
                    expect("image_index" not in path, f"{path} was made")


# Of the generated rule's message.
_MISSING = [
    "Error in fail: no registered execution platform is like the target platform, so nothing can build this wheel.",
    "  target platform: //platforms:arm64_linux (glibc_2.36, aarch64, linux)",
    "  registered:      //platforms:amd64_linux (glibc_2.36, x86_64, linux)",
    "  no registered one has: aarch64",
    '  register_execution_platforms("//platforms:arm64_linux")',
]


def amd64_only(run, bazel):
    """Nothing is registered that could build for arm64."""
    registration = "workspace.bzl" if bazel.major < 7 else "crosswheel.MODULE.bazel"
    with changed(bazel.path("platforms", registration), ' "//platforms:arm64_linux",\n', "\n"):
        with run.check("only amd64 registered: the error says what is missing, and what to do"):
            build = bazel.build("//app:image_index", flags=["--nobuild"])
            expect_equal(build.code, 1, "exit code of Bazel")
            for line in _MISSING:
                expect(line in build.output.splitlines(), f"expected the line {line!r} in:\n{tail(build.output)}")


# Not in CI


def built_again(run, bazel):
    """All from nothing, in another store: the same bytes."""
    with run.server() as server, run.check("built again in another store: the very same image index"):
        expect("index" in run.built, "there is nothing to compare with: run the scenario `builds` before this one")
        bazel.clean()
        succeeded(bazel.build("//app:image_index", server=server))
        expect_equal(read(bazel.output_path("app/image_index/index.json")), run.built["index"], "index.json")


# Reading builds


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


def expanded(file_name):
    """The tags that a wheel's file name stands for (PEP 425)."""
    pythons, abis, platforms = file_name.removesuffix(".whl").split("-")[-3:]
    parts = [part.split(".") for part in (pythons, abis, platforms)]
    return sorted("-".join(tag) for tag in itertools.product(*parts))


def files_below(root):
    return {
        os.path.relpath(os.path.join(directory, name), root) for directory, _, names in os.walk(root) for name in names
    }


# Changing the workspace, and changing it back


@contextlib.contextmanager
def changed(path, old, new):
    """Within it, the file has `new` where it had `old`."""
    before = read(path)
    expect(old in before, f"{path} does not have {old!r}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(before.replace(old, new))
    try:
        yield
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(before)


@contextlib.contextmanager
def touched(path):
    """Within it, the sdist has one more line of Python in it."""
    with open(path, "rb") as file:
        before = file.read()
    members = []
    with tarfile.open(fileobj=io.BytesIO(before)) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member).read() if member.isfile() else b""
            if member.name.endswith("/cowsay/__init__.py"):
                content += b"# touched\n"
                member.size = len(content)
            members.append((member, content))
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    try:
        yield
    finally:
        with open(path, "wb") as file:
            file.write(before)


SCENARIOS = [
    (function.__name__, function) for function in [placement, builds, without_exec_group, amd64_only, built_again]
]

# As many emulated builds again.
NOT_IN_CI = {"built_again"}
