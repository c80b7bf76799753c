"""build_helper.py SDIST_OR_ITS_TREE DIRECTORY: builds the wheel with whatever is installed beside the running Python.

It stands for the helper of aspect_rules_py: the same command line, the same inputs, one wheel.
"""

import contextlib
import importlib
import os
import shutil
import sys
import sysconfig
import tarfile
import tempfile
import tomllib


def main():
    source, out = sys.argv[1], os.path.abspath(sys.argv[2])
    os.umask(0o022)
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        sources = os.path.join(work, "sources")
        if os.path.isdir(source):
            # Inputs cannot be written to, and builds write where their sources are.
            shutil.copytree(source, sources, symlinks=True, copy_function=copy_writable)
        else:
            unpack(source, sources)
        (top,) = os.listdir(sources)
        with quiet(os.path.join(work, "log")):
            build(os.path.join(sources, top), out)


def copy_writable(source, destination):
    shutil.copyfile(source, destination)
    os.chmod(destination, 0o755 if os.access(source, os.X_OK) else 0o644)


def unpack(sdist, directory):
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


def build(sources, out):
    os.chdir(sources)
    # So that the place does not show in what a compiler makes. They replace the interpreter's own flags, so add those.
    flags = f"{sysconfig.get_config_var('CFLAGS')} -ffile-prefix-map={sources}=/sources"
    os.environ["CFLAGS"] = os.environ["CXXFLAGS"] = flags
    system = {}
    if os.path.exists("pyproject.toml"):
        with open("pyproject.toml", "rb") as file:
            system = tomllib.load(file).get("build-system", {})
    sys.path[:0] = [os.path.abspath(path) for path in system.get("backend-path", [])]
    module, _, name = system.get("build-backend", "setuptools.build_meta:__legacy__").partition(":")
    backend = importlib.import_module(module)
    for part in filter(None, name.split(".")):
        backend = getattr(backend, part)
    sys.argv[1:] = []
    backend.build_wheel(out)


@contextlib.contextmanager
def quiet(path):
    """Keeps what backends and compilers say to itself, unless the build fails."""
    kept = [os.dup(1), os.dup(2)]
    with open(path, "wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    except BaseException:
        with open(path, "rb") as log:
            os.write(kept[1], log.read())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)


main()
