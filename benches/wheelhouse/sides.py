"""Those that are compared: each makes of the same locked set what it can. Does not measure."""

import os
import shutil

from harness.files import read
from wheelhouse.app import PYTHON, TARGETS
from wheelhouse.programs import Crosswheel, call, succeeded


class Sides:
    """`place` is a directory of a round's own, with the caches of all."""

    def __init__(self, options, index, app, python, path, place):
        self._options = options
        self._index = index
        self._app = app
        self._python = python
        self._path_of_pythons = path
        # Whether what was made last time is still there the next time; the caches always are.
        self.kept = False
        self._place = place
        os.makedirs(place)
        self._requirements = os.path.join(place, "requirements.txt")
        self._constraints = os.path.join(place, "constraints.txt")
        with open(self._constraints, "w", encoding="ascii") as file:
            file.write("setuptools<81\n")
        self._uv_settings = {"UV_PYTHON_DOWNLOADS": "never", "UV_DEFAULT_INDEX": f"{index.address}/simple"}
        self._uv_settings |= {"UV_CACHE_DIR": self._path("uv-cache"), **app.environment}
        self._export()

    def all(self):
        """Names, and what runs each once more."""
        return {
            "`pip wheel -r`": self.pip_wheel,
            "`uv pip install --target`": self.uv_pip,
            "`uv sync`": self.uv_sync,
            "`crosswheel wheelhouse`, amd64": lambda: self.crosswheel("amd64", TARGETS[:1]),
            "the same, with `--check`": lambda: self.crosswheel("amd64-checked", TARGETS[:1], "--check"),
            "`crosswheel wheelhouse`, arm64 beside it": lambda: self.crosswheel("both", TARGETS),
        }

    def tidy(self):
        """Removes what pip and uv leave in the directories that they build in: others would compile less."""
        for path in ["phases/build", "phases/phases.egg-info"]:
            shutil.rmtree(self._app.path(path), ignore_errors=True)

    def pip_wheel(self):
        pip = [self._python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-binary=itsdangerous"]
        pip += [f"--wheel-dir={self._result('pip-wheels')}", f"--cache-dir={self._path('pip-cache')}"]
        pip += [f"--index-url={self._index.address}/simple", f"--requirement={self._requirements}"]
        settings = {"PIP_CONSTRAINT": self._constraints, "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
        return call(pip, cwd=self._app.directory, **settings, **self._app.environment)

    def uv_pip(self):
        uv = [
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            f"--target={self._result('uv-target')}",
            "--no-binary=itsdangerous",
        ]
        uv += [f"--python={self._python}", f"--build-constraints={self._constraints}", "-r", self._requirements]
        # A cache of its own: what `uv sync` builds is not to be found in it.
        return self._uv(uv, UV_CACHE_DIR=self._path("uv-pip-cache"))

    def uv_sync(self, *more):
        uv = ["sync", "--quiet", "--frozen", "--no-editable", f"--python={self._python}", *more]
        return self._uv(uv, UV_PROJECT_ENVIRONMENT=self._result("uv-environment"))

    def uv_sync_for_arm64(self):
        """What it says when it is asked for the other one."""
        return self.uv_sync("--python-platform=aarch64-manylinux_2_36")

    def crosswheel(self, name, targets, *more):
        project = ["--project", self._app.directory, "--out", self._result(f"{name}-wheels"), *more]
        project += ["--index-url", f"{self._index.address}/simple"]
        cache, root = self._path(f"{name}-cache"), self._options.arm64_root
        program = Crosswheel(self._options.crosswheel, cache, root, self._app, PYTHON, self._path_of_pythons)
        return program.wheelhouse(*project, targets=targets)

    def _export(self):
        """The locked set for those that know no locks: without hashes, as what is from git and directories has none."""
        uv = ["export", "--quiet", "--frozen", "--no-hashes", "--no-annotate", "--no-header", "--no-editable"]
        succeeded(self._uv([*uv, f"--output-file={self._requirements}"]))
        here = self._index.here(read(self._requirements))
        with open(self._requirements, "w", encoding="utf-8") as file:
            file.write(here)

    def _uv(self, arguments, **settings):
        return call([self._options.uv, *arguments], cwd=self._app.directory, **{**self._uv_settings, **settings})

    def _path(self, name):
        return os.path.join(self._place, name)

    def _result(self, name):
        path = self._path(name)
        if not self.kept:
            shutil.rmtree(path, ignore_errors=True)
        return path
