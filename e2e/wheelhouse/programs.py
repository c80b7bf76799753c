"""The programs that are run: crosswheel, pip and uv, each as somebody would who has the app. Does not know what they
should say."""

import dataclasses
import json
import os
import re
import subprocess
import time

from harness.processes import PATIENCE_SECONDS
from harness.report import Failed, expect, tail


@dataclasses.dataclass
class Ended:
    """A command that ended, with its two outputs apart."""

    command: list
    code: int
    output: str
    errors: str
    seconds: float

    def said(self):
        return f"{' '.join(self.command)} ended with {self.code}:\n{tail(self.errors + self.output, 60)}"


def call(command, cwd=None, **environment):
    """Runs a command to its end, in the environment that a user has, and with what is added."""
    # What somebody has set for uv or crosswheel is not to be found here.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "CROSSWHEEL_"))}
    begin = time.monotonic()
    try:
        ended = subprocess.run(
            command,
            cwd=cwd,
            env={**kept, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"did not end within {PATIENCE_SECONDS} s: {' '.join(command)}") from None
    return Ended(command, ended.returncode, ended.stdout, ended.stderr, time.monotonic() - begin)


def succeeded(ended):
    expect(ended.code == 0, ended.said())
    return ended


class Crosswheel:
    """`crosswheel wheelhouse` with a cache of its own and the root file system for arm64."""

    def __init__(self, binary, cache, arm64_root, app, python, path):
        """`python` is the version, as it has another path in the root; `path`, where it is found here."""
        self.binary = binary
        self._settings = ["--python", python, "--cache-dir", cache]
        self._arm64_root = arm64_root
        self._environment = {"PATH": path, **app.environment}

    def wheelhouse(self, *arguments, targets, cwd=None):
        chosen = [part for target in targets for part in ["--target", target]]
        if "linux_arm64" in targets:
            chosen += ["--rootfs", f"linux_arm64={self._arm64_root}"]
        command = [self.binary, "wheelhouse", *arguments, *chosen, *self._settings]
        return call(command, cwd=cwd, **self._environment)

    def lines(self, *arguments, target):
        """The lines of a plan."""
        planned = succeeded(self.wheelhouse(*arguments, "--plan", "--format", "lines", targets=[target]))
        return planned.output.splitlines()


class Uv:
    """A real uv with a cache of its own."""

    def __init__(self, program, cache, app):
        self.program = program
        self._environment = {"UV_CACHE_DIR": cache, "UV_PYTHON_DOWNLOADS": "never", **app.environment}

    def call(self, *arguments, **environment):
        return call([self.program, *arguments], **self._environment, **environment)

    def would_sync(self, project, python, platform, *asked):
        """Names and versions of what `uv sync` would install; no version of what is not from an index."""
        command = ["sync", "--frozen", "--dry-run", "--output-format=json", f"--project={project}"]
        command += [f"--python={python}", f"--python-platform={platform}", *asked]
        ended = succeeded(self.call(*command, UV_PROJECT_ENVIRONMENT=os.path.join(project, "none-here")))
        changes = json.loads(ended.output)["sync"]["changes"]
        return {change["name"]: change.get("version") for change in changes if change["action"] == "installed"}


def normalized(name):
    """As PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()
