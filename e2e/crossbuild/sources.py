"""The files of other people that the workspace builds from. Fetched once and kept; every byte is checked."""

import hashlib
import os
import shutil
import urllib.request

from harness.files import read
from harness.report import Failed


def place(lock, cache, directory):
    """Puts every file that `lock` names into `directory`, from `cache` or else from the network."""
    os.makedirs(cache, exist_ok=True)
    for sha256, address in entries(lock):
        kept = os.path.join(cache, sha256)
        if not os.path.exists(kept):
            _fetch(address, sha256, kept)
        shutil.copyfile(kept, os.path.join(directory, address.rsplit("/", 1)[1]))


def entries(lock):
    lines = [line.split() for line in read(lock).splitlines() if line and not line.startswith("#")]
    return [(sha256, address) for sha256, address in lines]


def _fetch(address, sha256, path):
    print(f"Fetching {address}", flush=True)
    with urllib.request.urlopen(address, timeout=120) as answer:
        content = answer.read()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise Failed(f"{address} has the digest {found}; the lock says {sha256}")
    with open(f"{path}.partial", "wb") as file:
        file.write(content)
    os.rename(f"{path}.partial", path)
