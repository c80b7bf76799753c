"""A root file system of Debian for arm64, made once by crosswheel itself and kept: what the emulated pool runs in."""

import os

from harness.processes import run
from harness.report import Failed, tail


def ensure(binary, path):
    """Makes it at `path` unless it is there, and then sees whether wheels can be built in it."""
    if os.path.exists(path):
        checked = run([binary, "rootfs", "check", path])
        if checked.code != 0:
            raise Failed(f"{path} will not do; remove it to have it made again\n{tail(checked.output)}")
        return
    print(f"Making a Debian arm64 root at {path}", flush=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    made = run([binary, "rootfs", "create", "--arch=arm64", path])
    if made.code != 0:
        raise Failed(f"crosswheel rootfs create failed:\n{tail(made.output)}")
