"""Debian packages of this machine. Does not know what they are for."""

import os
import subprocess

from harness.processes import PATIENCE_SECONDS


def install(packages):
    """Installs those that are missing, as root."""
    missing = [
        package
        for package in packages
        if subprocess.run(["dpkg", "-s", package], capture_output=True, check=False, timeout=60).returncode != 0
    ]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, timeout=PATIENCE_SECONDS)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
            check=True,
            env=environment,
            timeout=3 * PATIENCE_SECONDS,
        )
