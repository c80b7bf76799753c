"""crosswheel, asked for the same as uv. Does not know what it should say."""

import os
import subprocess

from harness.processes import PATIENCE_SECONDS
from locks import pythons

# What the targets of the comparison have.
GLIBC = "2.36"


class Refused(Exception):
    """crosswheel makes no plan of it; its text says why."""


class Crosswheel:
    def __init__(self, program, directory, those):
        self.program = program
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("UV_", "CROSSWHEEL_", "PIP_"))
        }
        home = os.path.join(directory, "home")
        self._environment = {**kept, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CONFIG_DIRS": home}
        self._environment["CROSSWHEEL_CACHE_DIR"] = os.path.join(directory, "crosswheel-cache")
        self._environment["PATH"] = pythons.path(those, os.path.join(directory, "pythons"))

    def plans(self, project, asked, version, target):
        """The lines of its plan. Raises Refused if there is none."""
        command = [self.program, "wheelhouse", "--project", project, *asked, "--target", target, "--python", version]
        command += ["--glibc", GLIBC, "--plan", "--format", "lines"]
        ended = subprocess.run(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        if ended.returncode != 0:
            raise Refused(ended.stderr)
        return ended.stdout.splitlines()
