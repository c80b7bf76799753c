"""Wheels and sdists as small as they come, made of a few words. Each says in its metadata of which file it is, so that
what is installed tells it. Does not know what they are an example of."""

import base64
import dataclasses
import gzip
import hashlib
import io
import itertools
import tarfile
import zipfile

# A backend of its own, in the sdist or directory itself: nothing has to be resolved, or fetched, to build it.
BACKEND = """
import base64, hashlib, os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    module = NAME.replace("-", "_")
    info = "%s-%s.dist-info" % (module, VERSION)
    files = {
        module + ".py": "",
        info + "/METADATA": METADATA,
        info + "/ORIGIN": ORIGIN,
        info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: inner\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += "%s,sha256=%s,%d\\n" % (name, digest, len(text.encode()))
    files[info + "/RECORD"] = record + info + "/RECORD,,\\n"
    name = "%s-%s-py3-none-any.whl" % (module, VERSION)
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return name

build_editable = build_wheel
"""

BUILD_SYSTEM = '\n[build-system]\nrequires = []\nbuild-backend = "inner"\nbackend-path = ["."]\n'

# Beside METADATA of whatever is installed: the name of its wheel or sdist, or nothing if it is neither.
ORIGIN = "ORIGIN"

ANY = "py3-none-any"


@dataclasses.dataclass
class Package:
    """A release: its wheels by their tags (a build tag may come first), and whether there is an sdist."""

    name: str
    version: str
    requires: list = dataclasses.field(default_factory=list)
    extras: dict = dataclasses.field(default_factory=dict)
    wheels: list = dataclasses.field(default_factory=lambda: [ANY])
    sdist: bool = False
    requires_python: str = None

    @property
    def stem(self):
        return f"{self.name.replace('-', '_')}-{self.version}"

    def files(self):
        """File names and contents."""
        files = {f"{self.stem}-{tags}.whl": self.wheel(tags) for tags in self.wheels}
        if self.sdist:
            files[f"{self.stem}.tar.gz"] = self.archive()
        return files

    def metadata(self):
        lines = ["Metadata-Version: 2.2", f"Name: {self.name}", f"Version: {self.version}"]
        if self.requires_python:
            lines.append(f"Requires-Python: {self.requires_python}")
        lines += [f"Requires-Dist: {requirement}" for requirement in self.requires]
        for extra, requires in self.extras.items():
            lines.append(f"Provides-Extra: {extra}")
            lines += [f"Requires-Dist: {conditional(requirement, extra)}" for requirement in requires]
        return "".join(f"{line}\n" for line in lines)

    def wheel(self, tags):
        info = f"{self.stem}.dist-info"
        build, parts = tags.split("-")[:-3], [part.split(".") for part in tags.split("-")[-3:]]
        wheel = "Wheel-Version: 1.0\nGenerator: e2e\nRoot-Is-Purelib: true\n"
        wheel += "".join(f"Build: {tag}\n" for tag in build)
        wheel += "".join(f"Tag: {'-'.join(tag)}\n" for tag in itertools.product(*parts))
        files = {f"{self.name.replace('-', '_')}.py": "", f"{info}/METADATA": self.metadata(), f"{info}/WHEEL": wheel}
        files[f"{info}/{ORIGIN}"] = f"{self.stem}-{tags}.whl"
        record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items())
        files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path, text in files.items():
                archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
        return content.getvalue()

    def archive(self):
        tree = source_tree(self.name, self.version, self.metadata(), origin=f"{self.stem}.tar.gz")
        files = {"PKG-INFO": self.metadata(), **tree}
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for path, text in files.items():
                member = tarfile.TarInfo(f"{self.stem}/{path}")
                member.size, member.mtime = len(text.encode()), 1_000_000_000
                archive.addfile(member, io.BytesIO(text.encode()))
        return gzip.compress(content.getvalue(), mtime=0)


def source_tree(name, version, metadata, pyproject="", origin=""):
    """The files of a directory that can be built."""
    head = f"NAME = {name!r}\nVERSION = {version!r}\nMETADATA = {metadata!r}\nORIGIN = {origin!r}\n"
    return {"pyproject.toml": pyproject + BUILD_SYSTEM, "inner.py": head + BACKEND}


def conditional(requirement, extra):
    """The requirement, under the condition that the extra is asked for."""
    requirement, _, marker = map(str.strip, requirement.partition(";"))
    condition = f'extra == "{extra}"'
    return f"{requirement} ; ({marker}) and {condition}" if marker else f"{requirement} ; {condition}"


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
