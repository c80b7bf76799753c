"""A Python 3.9, for clients that run with nothing newer: this machine's, or that of a Debian bullseye root. Does not
know which clients."""

import contextlib
import glob
import os
import shutil

from harness.place import on_this_machine
from harness.processes import run
from harness.report import Failed, tail
from harness.sid import SidRoot

SUITE = "bullseye"  # the only Debian that has 3.9


@contextlib.contextmanager
def python39(binary, cache, directory, shown):
    """Gives an `enter` and the interpreter's path there. `shown` are what it must see besides `directory`."""
    here = _on_this_machine()
    if here is not None:
        yield on_this_machine, here
        return
    root = os.path.join(cache, SUITE)
    _ensure(binary, root)
    with SidRoot(root, directory, shown) as entered:
        yield entered.command, "/usr/bin/python3.9"


def _on_this_machine():
    of_pyenv = sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.9.*/bin/python3.9")))
    for candidate in filter(None, [shutil.which("python3.9"), *of_pyenv]):
        # pyenv puts scripts on PATH that only say that it was not chosen, and a Python may lack what takes a library.
        if run([candidate, "-c", "import ctypes, ssl, sys; sys.exit(sys.version_info[:2] != (3, 9))"]).code == 0:
            return candidate
    return None


def _ensure(binary, root):
    """Makes the root unless it is there: half a minute, 350 MB, by crosswheel itself from a Debian mirror."""
    if os.path.exists(root):
        return
    print(f"Making a Debian {SUITE} root at {root}, as there is no Python 3.9 here", flush=True)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    made = run([binary, "rootfs", "create", "--arch=amd64", f"--suite={SUITE}", "--allow-expired", root])
    if made.code != 0:
        raise Failed(
            "there is no Python 3.9 here, and no root could be made that has one; put a python3.9 on PATH, or look at "
            f"what crosswheel rootfs says:\n{tail(made.output)}"
        )
