"""The repository that the app has one of its packages from: made here, the same to the bit each time, and reached by
git under the address that is in the lock. Knows nothing of who asks git."""

import os
import shutil

from harness.processes import run
from harness.report import Failed, tail

HERE = os.path.dirname(os.path.abspath(__file__))

# The address in the lock; nobody has it.
ADDRESS = "https://git.invalid/tides.git"
TAG = "v1.4.0"

# Author and dates are part of a commit's id, and so is nothing of this machine or its user.
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "crosswheel",
    "GIT_AUTHOR_EMAIL": "crosswheel@git.invalid",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00+0000",
    "GIT_COMMITTER_NAME": "crosswheel",
    "GIT_COMMITTER_EMAIL": "crosswheel@git.invalid",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00+0000",
}


def make(directory):
    """Makes it in `directory`; the id of the commit that has the tag."""
    shutil.copytree(os.path.join(HERE, "tides"), directory, ignore=shutil.ignore_patterns("__pycache__"))
    _git(directory, "init", "--quiet", "--initial-branch=main")
    _git(directory, "add", "--all", "--force")
    _git(directory, "commit", "--quiet", "--no-gpg-sign", "--message=Say how high the water is")
    _git(directory, "tag", TAG)
    return _git(directory, "rev-parse", "HEAD").strip()


def reached(directory):
    """The environment in which git goes to `directory` when it is sent to ADDRESS."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{directory}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }


def _git(directory, *arguments):
    command = ["git", "-C", directory, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    finished = run(command, env={**environment, **_ENVIRONMENT})
    if finished.code != 0:
        raise Failed(f"{' '.join(command)} failed:\n{tail(finished.output)}")
    return finished.output
