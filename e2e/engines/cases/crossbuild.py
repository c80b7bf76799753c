"""Wheels, layers and an image index for two architectures by one Bazel: the workspace of e2e/crossbuild, whose own
scenarios check far more. Here two workers do the work, and the engine decides which."""

import os

from crossbuild import builds, preparation
from crossbuild.case import ACTIONS, EVERYTHING, Spawns, properties, succeeded
from engines.cases.small import started
from engines.client import digest_named
from harness import arm64, sid
from harness.bazel import Bazel
from harness.report import expect_equal


def crossbuild(run):
    options, directory = run.options, run.directory("crossbuild")
    sid.ensure(options.sid_root)
    arm64.ensure(run.binary, options.arm64_root)
    workspace = preparation.workspace(run.binary, directory, options.downloads)
    with (
        run.client() as client,
        run.worker("native", slots=2) as native,
        run.worker("emulated", pool=f"arm64={options.arm64_root}", slots=2) as emulated,
        sid.SidRoot(options.sid_root, directory) as root,
        Bazel(7, os.path.join(directory, "bazel7"), source=workspace, enter=root.command) as bazel,
    ):
        workers = {"amd64": native, "arm64": emulated}
        with run.check("crossbuild, cold: everything is built, remotely", needed=True):
            cold = Spawns(succeeded(_build(run, bazel)))
            expect_equal(cold.build.not_ran("remote"), [], "actions that were not run remotely")
            expect_equal(cold.mnemonics(), ACTIONS, "actions")
            run.note(f"crossbuild, cold: {len(cold.all)} actions in {cold.build.seconds:.1f} s")

        with run.check("crossbuild: each action ran on the worker of its platform"):
            expect_equal(_started(workers), {"amd64": 12, "arm64": 3}, "actions started")
            names = {arch: set() for arch in workers}
            for spawn in cold.all:
                result = client.cached(digest_named(spawn["digest"]["hash"], spawn["digest"]["sizeBytes"]))
                names[properties(spawn)["Arch"]].add(result.execution_metadata.worker)
            both = names["amd64"] & names["arm64"]
            expect_equal(both, set(), f"workers of both platforms, of all in {names}")

        builds.wheels(run, bazel, cold)
        builds.outputs(run, bazel, cold)
        builds.images(run, bazel)
        _warm(run, bazel, workers)


def _warm(run, bazel, workers):
    with run.check("crossbuild, warm: everything comes from the cache, and nothing is executed"):
        before = _started(workers)
        bazel.clean()
        warm = Spawns(succeeded(_build(run, bazel)))
        expect_equal(warm.build.not_ran("remote cache hit"), [], "actions that did not come from the cache")
        expect_equal(warm.mnemonics(), ACTIONS, "actions")
        expect_equal(_started(workers), before, "actions started")
        run.note(f"crossbuild, warm: {len(warm.all)} hits in {warm.build.seconds:.1f} s")


def _build(run, bazel):
    return bazel.build(*EVERYTHING, server=run.engine, flags=[f"--remote_cache=grpc://{run.engine.cas_address}"])


def _started(workers):
    return {arch: started(worker) for arch, worker in workers.items()}
