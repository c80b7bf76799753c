"""A directory of a client's own and a way to run commands in it. Does not know which commands."""

import os
import shutil

from harness import processes
from harness.files import manifest

_PROJECTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def on_this_machine(command, cwd, env):
    """An `enter` that goes nowhere: the command runs here, with exactly `env`."""
    return ["env", f"--chdir={cwd}", "-i", *[f"{name}={value}" for name, value in env.items()], *command]


class Place:
    """`enter(command, cwd, env)` gives the command line that runs a command where the client lives."""

    def __init__(self, directory, enter):
        self.directory = directory
        self._enter = enter
        os.makedirs(directory)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(path), mode)

    def read(self, path):
        with open(self.path(path), encoding="utf-8") as file:
            return file.read()

    def remove(self, *paths):
        for path in paths:
            full = self.path(path)
            if os.path.isdir(full):
                shutil.rmtree(full)
            elif os.path.lexists(full):
                os.remove(full)

    def copy_project(self, name):
        """Copies one of the projects beside this directory here."""
        shutil.copytree(os.path.join(_PROJECTS, name), self.directory, symlinks=True, dirs_exist_ok=True)

    def manifest(self, path):
        return manifest(self.path(path))

    def run(self, *command, env=None, patience=processes.PATIENCE_SECONDS):
        return processes.run(self._line(command, env), patience=patience)

    def start(self, *command, env=None):
        """Starts a command that this run ends itself."""
        return processes.start(self._line(command, env))

    def _line(self, command, env):
        settings = {"HOME": self.directory, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        return self._enter([str(part) for part in command], self.directory, {**settings, **(env or {})})
