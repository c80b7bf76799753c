"""Debian packages of this machine. Does not know what they are for."""

import os
import subprocess


def install(packages):
    """Installs those that are missing, as root."""
    missing = [
        package
        for package in packages
        if subprocess.run(["dpkg", "-s", package], capture_output=True, check=False).returncode != 0
    ]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True, env=environment
        )
