"""Where things are in this repository, and what the Dockerfile says. Does not know what is checked of it."""

import json
import os
import re

from harness.files import read

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCKER = os.path.join(REPOSITORY, "docker")
DOCKERFILE = os.path.join(DOCKER, "Dockerfile")
SECCOMP_PROFILE = os.path.join(DOCKER, "seccomp-profile")
EMULATED = os.path.join(DOCKER, "emulated")


def health_check():
    """The command of the health check."""
    return json.loads(re.search(r"^HEALTHCHECK(?:.*\\\n)?.*CMD (\[.*\])$", read(DOCKERFILE), re.MULTILINE)[1])


def packages():
    """What it installs by default."""
    text = read(DOCKERFILE).replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith("ARG PACKAGES=")]
    return line.split('"')[1].split()
