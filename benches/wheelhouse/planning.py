"""How long it takes to know what has to be installed, for two targets, of a lock with hundreds of records."""

import os
import shutil
import statistics
import tempfile
import tomllib

from harness.files import read
from harness.report import Failed
from locks import pythons
from wheelhouse.app import TARGETS
from wheelhouse.programs import call, succeeded

PLATFORMS = ["x86_64-manylinux_2_36", "aarch64-manylinux_2_36"]


def table(options, directory):
    """The lines of a table."""
    project = options.locks
    if not os.path.exists(os.path.join(project, "uv.lock")):
        raise Failed(f"there is no lock in {project}; --locks names another directory")
    place = tempfile.mkdtemp(prefix="planning-", dir=directory)
    project = _with_version(project, os.path.join(place, os.path.basename(project)))
    those = pythons.found([options.plan_python])
    path = pythons.path(those, os.path.join(place, "pythons"))

    def crosswheel():
        command = [options.crosswheel, "wheelhouse", "--project", project, "--plan", "--python", options.plan_python]
        command += ["--glibc", "2.36", "--cache-dir", os.path.join(place, "cache")]
        return [call([*command, *(part for target in TARGETS for part in ["--target", target])], PATH=path)]

    def uv():
        command = [options.uv, "sync", "--frozen", "--dry-run", f"--project={project}"]
        command.append(f"--python={those[options.plan_python]}")
        settings = {"UV_CACHE_DIR": os.path.join(place, "uv"), "UV_PROJECT_ENVIRONMENT": os.path.join(place, "none")}
        settings["UV_PYTHON_DOWNLOADS"] = "never"
        return [call([*command, f"--python-platform={platform}"], **settings) for platform in PLATFORMS]

    lines = [f"| planning {os.path.basename(project)}'s lock for two targets | median, ms | minimum |", "|---|--:|--:|"]
    sides = {"`crosswheel wheelhouse --plan`, once": crosswheel, "`uv sync --frozen --dry-run`, twice": uv}
    took = {name: [] for name in sides}
    # The first of each is not counted: it asks the Pythons about themselves.
    for _ in range(options.plan_rounds + 1):
        for name, side in sides.items():
            took[name].append(1000 * sum(succeeded(ended).seconds for ended in side()))
    for name, all_of_it in took.items():
        counted = all_of_it[1:]
        lines.append(f"| {name} | {statistics.median(counted):.0f} | {min(counted):.0f} |")
    return lines


def _with_version(project, copy):
    """A copy of the project that uv takes: those below `tests/locks` have no more in them than a plan needs."""
    shutil.copytree(project, copy)
    path = os.path.join(copy, "pyproject.toml")
    text = read(path)
    if "version" not in tomllib.loads(text)["project"]:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("[project]\n", '[project]\nversion = "0"\n', 1))
    return copy
