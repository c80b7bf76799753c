"""What must not succeed, and has to say why."""

import contextlib

from crossbuild import action_results
from crossbuild.case import ARCHITECTURES, WHEELS, Spawns, output, properties, started
from harness.files import read
from harness.report import expect, expect_equal, expect_in, tail


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
