"""What is planned, before anything is built."""

import collections
import re

from crossbuild.case import ARCHITECTURES, WHEELS, succeeded
from harness.report import expect, expect_equal


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
