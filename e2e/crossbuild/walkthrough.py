"""README's way from an empty workspace to two wheels, as it is written there.

All five commands are read. The first and the fourth are run as they stand; the second names the root that the run has made
already, so only its flags are tried; the server gets the third's pools, on the run's own root and a free port; and the
fifth must list what was built.
"""

import glob
import os
import re
import shlex
import shutil

from crossbuild.case import ARCHITECTURES, WHEELS, succeeded
from crossbuild.wheels import Wheel
from harness.files import read
from harness.processes import run as call
from harness.report import expect_equal, tail

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "README.md")
SECTION = "## From an empty Bazel workspace to two wheels\n"

# No registry and no index can be asked from everywhere: the first is stubbed, the files of the second are given.
_OFFLINE = """\
import %workspace%/.bazelrc
import %workspace%/offline7.bazelrc
build --color=no --curses=no
build --distdir={files}
"""


def walkthrough(run, bazel):
    text = read(README).split(SECTION)[1].split("\n## ")[0]
    commands = [line.split("#")[0] for line in re.findall(r"^\$ (.*)", text, re.MULTILINE)]
    module, build_file = re.findall(r"```starlark\n(.*?)```", text, re.DOTALL)
    rc = re.search(r"`\.bazelrc` with the line `(.*?)`", text)[1]

    workspace = run.directory("walkthrough")
    for name, content in [("MODULE.bazel", module), ("BUILD.bazel", build_file), (".bazelrc", f"{rc}\n")]:
        write(os.path.join(workspace, name), content)
    shutil.copy(os.path.join(run.workspace, "offline7.bazelrc"), workspace)
    write(os.path.join(workspace, "bazel7.bazelrc"), _OFFLINE.format(files=os.path.join(run.workspace, "third_party")))

    with run.check("the README's workspace: generated", needed=True):
        generate = shlex.split(commands[0])
        expect_equal(generate[:3], ["crosswheel", "generate", "bazel"], "the first command")
        generated = call([run.binary, *generate[1:]], cwd=workspace)
        expect_equal(generated.code, 0, f"exit code of {commands[0]}, which said:\n{tail(generated.output)}\n")

    with run.check("the README's commands: the root and the server"):
        create = shlex.split(commands[1])
        expect_equal(create[:3], ["crosswheel", "rootfs", "create"], "the second command")
        # It is not made once more: an archive that is not there is looked for when all flags were understood.
        refused = call([run.binary, *create[1:], "--from=no-such.tar", os.path.join(workspace, "root")], cwd=workspace)
        expect_equal(refused.code, 1, f"exit code of {commands[1]} from nothing, which said:\n{refused.output}\n")
        serve = shlex.split(commands[2].rstrip("& "))
        expect_equal(serve[:2], ["crosswheel", "serve"], "the third command")
        pools = [re.sub(r"=\$HOME/.*", f"={run.arm64_root}", word) for word in serve[2:]]

    with run.server(pools) as server, bazel.beside("walkthrough", workspace) as other:
        with run.check("the README's workspace: built, one wheel for each platform"):
            build = shlex.split(commands[3])
            expect_equal(build[:2], ["bazel", "build"], "the fourth command")
            flags = [one for one in build[2:] if one.startswith("-") and not one.startswith("--remote_executor=")]
            (target,) = [one for one in build[2:] if not one.startswith("-")]
            built = succeeded(other.build(target, server=server, flags=flags))
            expect_equal(built.ran("remote"), 2, "actions")
            found = [Wheel(other.path(directory)) for spawn in built.spawns for directory in spawn["listedOutputs"]]
            expected = {}
            for machine in ARCHITECTURES.values():
                file_name, module = WHEELS["markupsafe"](machine)
                expected[file_name] = {module: machine}
            expect_equal({wheel.file_name: wheel.machines() for wheel in found}, expected, "wheels and modules")

        with run.check("the README's workspace: listed"):
            listing = shlex.split(commands[4])
            expect_equal(listing[0], "ls", "the fifth command")
            listed = {os.path.basename(path) for path in glob.glob(other.path(listing[1]))}
            shown = {os.path.basename(line) for line in re.findall(r"^bazel-out/\S+", text, re.MULTILINE)}
            expect_equal(listed, shown, "wheels that the command lists, and that the README shows")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
