"""Buildbarn's programs, as the Go module proxy has them: compiled once and kept."""

import hashlib
import os

from engines import golang
from engines.kept import call, made

PACKAGES = [
    "github.com/buildbarn/bb-storage/cmd/bb_storage",
    "github.com/buildbarn/bb-remote-execution/cmd/bb_scheduler",
]

_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")

# A thousand packages, on a slow and busy machine.
_BUILD_SECONDS = 3600


def ensure(directory):
    """The directory with them, below `directory`."""

    def make(partial):
        go = golang.program(directory)
        os.makedirs(partial)
        # All hashes are in go.sum: nothing is to be looked up but the modules.
        call([go, "-C", _HERE, "build", "-mod=readonly", "-p=2", f"-o={partial}/", *PACKAGES], patience=_BUILD_SECONDS)

    return made(directory, f"buildbarn-{_version()}", make)


def _version():
    """Another one when anything is changed that they are made of."""
    digest = hashlib.sha256()
    for name in ["go.mod", "go.sum", "bytestream/go.mod", "bytestream/bytestream.go"]:
        with open(os.path.join(_HERE, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:12]
