"""BuildStream: each element's commands run in a root file system that is the input root itself."""

import os
import shutil
import sys

from harness import processes
from harness.report import Failed, expect, expect_equal, expect_in, tail

VERSION = "2.8.1"

_CONFIGURATION = """
cachedir: {directory}/cache
sourcedir: {directory}/sources
logdir: {directory}/logs
workspacedir: {directory}/workspaces
remote-execution:
  execution-service: {{url: "{url}"}}
  storage-service: {{url: "{url}"}}
  action-cache-service: {{url: "{url}"}}
"""


def prepare(place, venv, busybox):
    """A venv with BuildStream from PyPI, made once, and a root file system of one static busybox."""
    if not os.path.exists(os.path.join(venv, "complete")):
        print(f"Installing BuildStream {VERSION} into {venv}", flush=True)
        _must(processes.run([sys.executable, "-m", "venv", "--clear", venv]))
        _must(processes.run([f"{venv}/bin/pip", "install", "--quiet", f"BuildStream=={VERSION}"]))
        open(os.path.join(venv, "complete"), "w", encoding="ascii").close()
    place.copy_project("buildstream")
    programs = place.path("files/base/bin")
    os.makedirs(programs)
    shutil.copy(busybox, os.path.join(programs, "busybox"))
    for name in ["cat", "cp", "mkdir", "sh", "tr"]:
        os.symlink("busybox", os.path.join(programs, name))
    place.bst = f"{venv}/bin/bst"


def _must(finished):
    if finished.code != 0:
        raise Failed(f"{' '.join(finished.command)} failed:\n{tail(finished.output)}")


def builds(run, place):
    with run.server() as server:
        with run.check("an element is built remotely, in the root file system it was given", needed=True):
            built = bst(place, server, "build", "hello.bst")
            expect_equal(built.code, 0, f"exit code of bst, which said:\n{tail(built.output)}\n")
            expect_in("Waiting for the remote build to complete", built.output)
            artifact(place, server)

        with run.check("with nothing known here, the action comes from the action cache"):
            place.remove("cache", "sources", "out")
            executed = _executed(server)
            built = bst(place, server, "build", "hello.bst")
            expect_equal(built.code, 0, f"exit code of bst, which said:\n{tail(built.output)}\n")
            expect_equal(_executed(server), executed, "what the server has executed")
            artifact(place, server)


def artifact(place, server):
    checked_out = bst(place, server, "artifact", "checkout", "hello.bst", "--deps", "none", "--directory", "out")
    expect_equal(checked_out.code, 0, f"exit code of bst, which said:\n{tail(checked_out.output)}\n")
    expect_equal(place.read("out/share/shout.txt"), "HELLO FROM THE SOURCE\n", "share/shout.txt")


def bst(place, server, *arguments):
    place.write("bst.conf", _CONFIGURATION.format(directory=place.directory, url=server.http2_address))
    return place.run(place.bst, f"--config={place.path('bst.conf')}", "--no-interactive", "--no-colors", *arguments)


def _executed(server):
    """The counters of executed actions, as the server's metrics have them."""
    found = [line for line in server.metrics().splitlines() if line.startswith("crosswheel_") and "execut" in line]
    expect(found, "the metrics say nothing of executed actions")
    return found


SCENARIOS = [("builds", builds)]
