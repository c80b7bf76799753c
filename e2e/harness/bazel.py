"""A Bazel and its copy of the workspace. Knows how to call it and to read what it says, not what is expected of it."""

import dataclasses
import json
import os
import re
import shutil
import signal

from harness import processes
from harness.files import manifest
from harness.place import on_this_machine
from harness.report import expect

WORKSPACE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bazel")
STUBS = os.path.join(WORKSPACE, "stubs")

# "INFO: 345 processes: 6 internal, 339 remote." and "INFO: 1 process: 1 remote cache hit."
_PROCESSES = re.compile(r"^INFO: \d+ process(?:es)?: (.*)\.$", re.MULTILINE)


@dataclasses.dataclass
class Build:
    """A finished call of Bazel."""

    code: int
    output: str
    seconds: float
    processes: dict  # how many spawns of each kind: "remote", "remote cache hit", "internal" ...
    spawns: list  # the execution log, one dict per spawn

    def ran(self, kind):
        return self.processes.get(kind, 0)

    def not_ran(self, kind):
        """Outputs of the spawns that were run in another way, and in which."""
        return [
            f"{' '.join(spawn['listedOutputs'])}: {spawn['runner'] or 'failed'}"
            for spawn in self.spawns
            if spawn["runner"] != kind
        ]


class Bazel:
    """One version of Bazel with a copy of the workspace that nobody else changes.

    `enter(command, cwd, env)` gives the command line that runs a command where this Bazel lives.
    """

    def __init__(self, major, directory, source=WORKSPACE, enter=on_this_machine):
        self.major = major
        self.directory = directory
        self.workspace = os.path.join(self.directory, "workspace")
        self._enter = enter
        shutil.copytree(source, self.workspace, symlinks=True)
        # Every workspace needs these; only one has them.
        shutil.copytree(STUBS, self.path("stubs"), dirs_exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._call(["shutdown"])

    def beside(self, name, source):
        """The same Bazel with another workspace."""
        directory = os.path.join(os.path.dirname(self.directory), name)
        return Bazel(self.major, directory, source=source, enter=self._enter)

    # Files

    def path(self, *parts):
        return os.path.join(self.workspace, *parts)

    def write(self, path, text):
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)

    def output(self, path):
        """The text of an output."""
        full = self.output_path(path)
        expect(os.path.isfile(full), f"there is no output {path}")
        with open(full, encoding="utf-8") as file:
            return file.read()

    def output_path(self, path):
        return os.path.join(os.path.realpath(self.path("bazel-bin")), path)

    def outputs(self, skip=()):
        """Everything in bazel-bin but what Bazel writes for itself, and but the packages to `skip`."""

        def ours(path):
            name = os.path.basename(path)
            return path in skip or ".runfiles" in name or name.endswith(".params") or name == "MANIFEST"

        return manifest(os.path.realpath(self.path("bazel-bin")), skip=ours)

    # Calls

    def build(self, *arguments, server=None, flags=(), command="build", patience=processes.PATIENCE_SECONDS):
        """Builds with `server` as remote executor; without one, as `flags` say."""
        line, log = self._build_line(command, arguments, server, flags)
        finished = processes.run(line, patience=patience)
        return self._read(finished, log)

    def start_build(self, *arguments, server, flags=()):
        """Starts a build and returns at once; `finish_build` waits for its end."""
        line, log = self._build_line("build", arguments, server, flags)
        return processes.start(line), line, log

    def finish_build(self, started):
        child, line, log = started
        return self._read(processes.finish(child, line), log)

    def interrupt(self, started):
        """What Ctrl-C does to Bazel, but not to what only carries it into the sid root."""
        carrier = started[0].pid
        for process in processes.children(carrier) or [carrier]:
            os.kill(process, signal.SIGINT)

    def clean(self):
        finished = self._call(["clean"])
        expect(finished.code == 0, f"bazel clean failed:\n{finished.output}")

    def _build_line(self, command, arguments, server, flags):
        log = os.path.join(self.directory, "spawns.json")
        if os.path.exists(log):
            os.remove(log)
        remote = []
        if server is not None:
            remote = [f"--remote_executor={server.grpc_address}", "--spawn_strategy=remote"]
        line = [command, f"--execution_log_json_file={log}", *remote, *flags, "--", *arguments]
        return self._line(line), log

    def _call(self, arguments):
        return processes.run(self._line(arguments))

    def _line(self, arguments):
        env = {
            "HOME": self.directory,
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "USER": "crosswheel",
            # Bazel takes file names for Latin-1, and Java learns it from the locale (JDK 17 is told otherwise).
            "LC_CTYPE": "en_US.ISO-8859-1" if self.major >= 7 else "C.UTF-8",
        }
        bazel = [
            "bazel",
            "--nohome_rc",
            "--noworkspace_rc",
            f"--bazelrc=bazel{self.major}.bazelrc",
            f"--output_user_root={self.directory}/root",
        ]
        return self._enter([*bazel, *arguments], self.workspace, env)

    def _read(self, finished, log):
        found = _PROCESSES.findall(finished.output)
        counts = {}
        if found:
            for part in found[-1].split(", "):
                count, kind = part.split(" ", 1)
                counts[kind] = int(count)
        return Build(finished.code, finished.output, finished.seconds, counts, _spawns(log))


def _spawns(path):
    """The execution log is JSON objects one after the other, with nothing between them."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        text = file.read()
    decoder, at, spawns = json.JSONDecoder(), 0, []
    while at < len(text):
        spawn, end = decoder.raw_decode(text, at)
        spawns.append(spawn)
        at = end
        while at < len(text) and text[at].isspace():
            at += 1
    return spawns
