"""What is built, what it is, and what is not built again."""

import contextlib
import io
import itertools
import os
import tarfile

from crossbuild import action_results
from crossbuild.case import ACTIONS, ARCHITECTURES, EVERYTHING, WHEELS, Spawns, output, properties, started, succeeded
from crossbuild.images import Layout
from crossbuild.wheels import Wheel, machine
from harness.files import read
from harness.report import expect, expect_equal, expect_in


def builds(run, bazel):
    with run.server() as server:
        with run.check("cold: everything is built, remotely", needed=True):
            cold = Spawns(succeeded(bazel.build(*EVERYTHING, server=server)))
            expect_equal(cold.build.not_ran("remote"), [], "actions that were not run remotely")
            expect_equal(cold.mnemonics(), ACTIONS, "actions")
            run.note(f"cold: {len(cold.all)} actions in {cold.build.seconds:.1f} s")

        _properties(run, cold)
        wheels(run, bazel, cold)
        _workers(run, server, cold)
        outputs(run, bazel, cold)
        images(run, bazel)
        _warm(run, bazel, server)
        _touched(run, bazel, server)


def _properties(run, cold):
    with run.check("the wheels and the app's run are asked of the platform that they are for, all else of amd64"):
        for spawn in cold.all:
            arch = cold.arch(spawn) if spawn["mnemonic"] in ("PySdistBuild", "RunLayers") else "amd64"
            expect_equal(properties(spawn), {"Arch": arch, "OSFamily": "Linux"}, output(spawn))


def wheels(run, bazel, cold):
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


def outputs(run, bazel, cold):
    for spawn in cold.of("RunLayers"):
        kernel_name = ARCHITECTURES[cold.arch(spawn)]
        with run.check(f"the app runs from its layers on {kernel_name}, with the C extension for it"):
            text = read(bazel.path(output(spawn)))
            expect_in(f"| &lt;moo&gt; on {kernel_name} |", text)
            expect_in(f"_speedups.cpython-311-{kernel_name}-linux-gnu.so\n", text)


def images(run, bazel):
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


def built_again(run, bazel):
    """All from nothing, in another store: the same bytes."""
    with run.server() as server, run.check("built again in another store: the very same image index"):
        expect("index" in run.built, "there is nothing to compare with: run the scenario `builds` before this one")
        bazel.clean()
        succeeded(bazel.build("//app:image_index", server=server))
        expect_equal(read(bazel.output_path("app/image_index/index.json")), run.built["index"], "index.json")


def expanded(file_name):
    """The tags that a wheel's file name stands for (PEP 425)."""
    pythons, abis, platforms = file_name.removesuffix(".whl").split("-")[-3:]
    parts = [part.split(".") for part in (pythons, abis, platforms)]
    return sorted("-".join(tag) for tag in itertools.product(*parts))


def files_below(root):
    return {
        os.path.relpath(os.path.join(directory, name), root) for directory, _, names in os.walk(root) for name in names
    }


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
