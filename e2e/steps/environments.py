"""What the actions of the workspace get as inputs: sdists, build requirements, interpreters.

Sdists and wheels come from PyPI, by the hashes of `crosswheel.lock`; interpreters from root file systems, with their
standard libraries. Does not know which actions there are.
"""

import io
import os
import py_compile
import shutil
import sys
import tarfile
import tomllib
import zipfile

from harness import processes
from harness.report import expect_equal

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "crosswheel.lock")
PYTHON = "python3.11"

# Built with the environment of another sdist, so that whoever builds that one next finds it there.
WARMUP = "warmup-1.0.tar.gz"


def locked(names):
    """What the lock says of these sdists: file names and digests of themselves and of their build requirements."""
    with open(LOCK, "rb") as file:
        sdists = {sdist["name"]: sdist for sdist in tomllib.load(file)["sdist"]}
    return {name: sdists[name] for name in names}


def fetch(binary, cache, out, sdists):
    """Lets crosswheel fetch them all into `cache`; it builds them, too, into `out`."""
    sources = [f"{name}=={sdist['version']}" for name, sdist in sdists.items()]
    command = [binary, "build", *sources, f"--lock={LOCK}", f"--cache-dir={cache}", f"--out={out}"]
    built = processes.run(command)
    expect_equal(built.code, 0, f"exit code of crosswheel build, which said:\n{built.output}\n")


def fill_workspace(bazel, cache, sdists, roots):
    """Puts everything into Bazel's workspace. `roots`: architecture -> root file system with a Python."""
    requirements = {}
    for name, sdist in sdists.items():
        shutil.copy(_downloaded(cache, sdist), bazel.path("sdists"))
        requirements[name] = {}
        for wheel in sdist["requirement"]:
            requirements[name][wheel["name"]] = wheel["file-name"]
            unpacked = bazel.path("site_packages", wheel["name"])
            if not os.path.exists(unpacked):
                shutil.copy(_downloaded(cache, wheel), bazel.path("wheels"))
                with zipfile.ZipFile(_downloaded(cache, wheel)) as archive:
                    archive.extractall(unpacked)
                compile_all(unpacked)
    write_warmup(bazel.path("sdists", WARMUP))
    for arch, root in roots.items():
        copy_interpreter(root, bazel.path("python", arch))
    settings = {
        "SDISTS": {name: os.path.basename(_downloaded(cache, sdist)) for name, sdist in sdists.items()},
        "REQUIREMENTS": requirements,
        "WHEELS": sorted({wheel for wheels in requirements.values() for wheel in wheels}),
        "INTERPRETERS": sorted(roots),
        "WARMUP": WARMUP,
        # As inputs; Bazel 4 can have none.
        "SYMLINKS": bazel.major >= 7,
    }
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    bazel.write("environments.bzl", '"""What the script has put where."""\n\n' + "".join(lines))


def _downloaded(cache, what):
    (name,) = os.listdir(os.path.join(cache, "downloads", what["sha256"]))
    return os.path.join(cache, "downloads", what["sha256"], name)


def copy_interpreter(root, place):
    """A Python as a build would fetch it: program, standard library with byte code, headers."""
    usr = os.path.join(root, "usr")
    os.makedirs(os.path.join(place, "bin"))
    shutil.copy(os.path.join(usr, "bin", PYTHON), os.path.join(place, "bin"))

    def unwanted(directory, names):
        # libpython itself, byte code that was made for another place, and what leads out of the tree.
        return [
            name
            for name in names
            if name.startswith("config-") or name == "__pycache__" or _leads_out(os.path.join(directory, name), root)
        ]

    library = os.path.join(place, "lib", PYTHON)
    shutil.copytree(os.path.join(usr, "lib", PYTHON), library, ignore=unwanted)
    compile_all(library)
    include = os.path.join(usr, "include", PYTHON)
    if os.path.isdir(include):
        shutil.copytree(include, os.path.join(place, "include", PYTHON))


def _leads_out(path, root):
    return os.path.islink(path) and not os.path.realpath(path).startswith(os.path.realpath(root).rstrip("/") + "/usr/")


def compile_all(directory):
    """Byte code that does not ask for its source's time, which inputs of actions do not keep."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for parent, _, names in os.walk(directory):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(parent, name)
                # Some are templates, or tests of what does not compile.
                py_compile.compile(path, dfile=os.path.relpath(path, directory), invalidation_mode=mode, quiet=2)


def check_python():
    """The byte code is for the interpreters that run it."""
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if ours != PYTHON:
        raise SystemExit(f"this has to be run by {PYTHON}, as it makes byte code for it; this is {ours}")


def write_warmup(path):
    """The smallest project there is."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "warmup"\nversion = "1.0"\n[tool.setuptools]\npy-modules = ["warmup"]\n',
        "warmup.py": "",
        "PKG-INFO": "Metadata-Version: 2.1\nName: warmup\nVersion: 1.0\n",
    }
    with tarfile.open(path, "w:gz") as sdist:
        for name, text in files.items():
            member = tarfile.TarInfo(f"warmup-1.0/{name}")
            member.size = len(text.encode())
            sdist.addfile(member, io.BytesIO(text.encode()))
