"""The workspace, complete: what is committed, the sources of other people, and what crosswheel generates."""

import os
import shutil

from crossbuild import sources
from harness.processes import run
from harness.report import Failed, tail

_COMMITTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workspace")


def workspace(binary, directory, downloads):
    """Makes it below `directory`; its path."""
    path = os.path.join(directory, "workspace")
    shutil.copytree(_COMMITTED, path)
    sources.place(os.path.join(path, "third_party/lock.txt"), downloads, f"{path}/third_party")
    model = os.path.join(path, "crosswheel.toml")
    generated = run([binary, "generate", "bazel", f"--model={model}", f"--out={path}/platforms"])
    if generated.code != 0:
        raise Failed(f"crosswheel generate bazel failed:\n{tail(generated.output)}")
    return path
