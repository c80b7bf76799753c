"""A real uv: it locks, and installs what it takes for a platform, which is then read. Does not know of crosswheel."""

import glob
import os
import shutil
import tempfile
import tomllib

from engines import kept
from harness.processes import run
from harness.report import Failed, tail
from locks.packages import ORIGIN

VERSION = "0.13.9"

# As uv calls a platform with glibc 2.36.
PLATFORMS = {"linux_amd64": "x86_64-manylinux_2_36", "linux_arm64": "aarch64-manylinux_2_36"}


def fetched(directory):
    """The path of uv, installed once below `directory`."""
    python = kept.venv(directory, f"uv-{VERSION}", [f"uv=={VERSION}"])
    return os.path.join(os.path.dirname(python), "uv")


class Refused(Exception):
    """uv does not install it; its text says why."""


class NoLock(Exception):
    """uv finds no versions that go together; its text says why."""


class Uv:
    def __init__(self, program, directory):
        self.program = program
        self._directory = directory
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
        # Nothing that somebody has configured for himself, and nothing but the index of the project.
        home = os.path.join(directory, "home")
        os.makedirs(home, exist_ok=True)
        self._environment |= {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CONFIG_DIRS": home, "NO_COLOR": "1"}
        self._environment |= {"UV_CACHE_DIR": os.path.join(directory, "uv-cache"), "UV_PYTHON_DOWNLOADS": "never"}

    def lock(self, project, python):
        finished = self._run(["lock", f"--project={project}", f"--python={python}"])
        if finished.code != 0:
            raise NoLock(f"uv does not lock it:\n{tail(finished.output)}")

    def installs(self, project, asked, python, target):
        """The lines of what uv installs: `name==version FILE`, sorted. Raises Refused if it does not."""
        environment = tempfile.mkdtemp(prefix="environment-", dir=self._directory)
        os.rmdir(environment)
        command = ["sync", "--frozen", f"--project={project}", f"--python={python}", *asked]
        command.append(f"--python-platform={PLATFORMS[target]}")
        finished = self._run(command, UV_PROJECT_ENVIRONMENT=environment)
        try:
            if finished.code != 0:
                raise Refused(finished.output)
            return _installed(environment, os.path.join(project, "uv.lock"))
        finally:
            shutil.rmtree(environment, ignore_errors=True)

    def _run(self, arguments, **environment):
        return run([self.program, *arguments], env={**self._environment, **environment})


def _installed(environment, lock):
    """What is installed says what it is; where it is no file of an index, the lock says from where it is."""
    with open(lock, "rb") as file:
        records = tomllib.load(file)["package"]
    lines = []
    for metadata in glob.glob(os.path.join(environment, "lib/python*/site-packages/*.dist-info/METADATA")):
        with open(metadata, encoding="utf-8") as file:
            about = dict(line.rstrip("\n").split(": ", 1) for line in file if ": " in line)
        with open(os.path.join(os.path.dirname(metadata), ORIGIN), encoding="utf-8") as file:
            origin = file.read()
        name, version = about["Name"], about["Version"]
        if not origin:
            version, origin = _in_lock(records, name, version)
        lines.append(f"{name}=={version} {origin}")
    return sorted(lines)


def _in_lock(records, name, version):
    """Version and place of the one record of this name that is a source tree; a member may have no version there."""
    found = [
        (record.get("version", "(dynamic)"), place)
        for record in records
        if record["name"] == name and record.get("version", version) == version
        for place in map(_place, [record["source"]])
        if place
    ]
    if len(found) != 1:
        raise Failed(f"the lock has {len(found)} source trees that could be {name} {version}")
    return found[0]


def _place(source):
    for kind in ["editable", "directory"]:
        if kind in source:
            return f"local:{kind}:{source[kind]}"
    return f"git:{source['git']}" if "git" in source else None
