"""A wheelhouse that somebody made, read as those do who install from it. Does not know what should be in it."""

import hashlib
import json
import os
import re
import zipfile

from crossbuild.wheels import machine
from harness.files import read
from harness.report import expect, expect_equal
from wheelhouse.programs import normalized

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)$")


class House:
    def __init__(self, directory):
        self.directory = directory

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def wheels(self):
        """Names of wheels -> SHA-256."""
        names = [name for name in os.listdir(self.directory) if name.endswith(".whl")]
        return {name: _sha256(self.path(name)) for name in names}

    def requirements_path(self, target):
        return self.path(f"requirements-{target}.txt")

    def requirements(self, target):
        """Name -> version and digests, as pip reads them."""
        text = read(self.requirements_path(target)).replace("\\\n", " ")
        found = {}
        for line in filter(None, (line.split(" #")[0].strip() for line in text.splitlines())):
            if line.startswith("#"):
                continue
            pinned = _PINNED.match(line)
            expect(pinned, f"a line of the requirements is neither pinned nor hashed: {line}")
            name, version, hashes = pinned.groups()
            found[normalized(name)] = (version, set(re.findall(r"sha256:([0-9a-f]{64})", hashes)))
        return found

    def document(self):
        return json.loads(read(self.path("wheelhouse.json")))

    def machines(self, name):
        """For which machines the modules of a wheel are."""
        with zipfile.ZipFile(self.path(name)) as wheel:
            modules = [member for member in wheel.namelist() if member.endswith(".so")]
            return {machine(wheel.read(member), member) for member in modules}

    def complete(self, target, names):
        """That it has each of these for a target, by the digest that pip will look for; name -> wheel's name."""
        wheels = {digest: name for name, digest in self.wheels().items()}
        requirements = self.requirements(target)
        expect_equal(sorted(requirements), sorted(names), f"what is pinned for {target}")
        found = {}
        for name, (version, digests) in requirements.items():
            here = [wheels[digest] for digest in digests if digest in wheels]
            expect(here, f"no wheel has the digest of {name}=={version}")
            parts = here[0].split("-")
            expect_equal((normalized(parts[0]), parts[1]), (name, version), f"name and version of {here[0]}")
            found[name] = here[0]
        return found


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
