"""crosswheel, asked for the same as uv. Does not know what it should say."""

import os
import subprocess

from harness.processes import PATIENCE_SECONDS

# What the targets of the comparison have.
GLIBC = "2.36"


class Refused(Exception):
    """crosswheel makes no plan of it; its text says why."""


class Crosswheel:
    def __init__(self, program, directory, pythons):
        """`pythons`: version -> path, of which each is found under its name, `python3.12`."""
        self.program = program
        self._bin = os.path.join(directory, "pythons")
        os.makedirs(self._bin)
        for version, path in pythons.items():
            os.symlink(path, os.path.join(self._bin, f"python{version}"))
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("UV_", "CROSSWHEEL_", "PIP_"))
        }
        home = os.path.join(directory, "home")
        self._environment = {**kept, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CONFIG_DIRS": home}
        self._environment["CROSSWHEEL_CACHE_DIR"] = os.path.join(directory, "crosswheel-cache")
        self._environment["PATH"] = f"{self._bin}:{os.environ['PATH']}"

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
