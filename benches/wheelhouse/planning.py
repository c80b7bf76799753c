"""How long it takes to know what has to be installed, for two targets, of a lock with hundreds of records."""

import os
import statistics
import tempfile

from wheelhouse.app import TARGETS
from wheelhouse.programs import call, succeeded

PLATFORMS = ["x86_64-manylinux_2_36", "aarch64-manylinux_2_36"]


def table(options, directory):
    """The lines of a table; none if there is no such lock here."""
    project = options.locks
    if not os.path.exists(os.path.join(project, "uv.lock")):
        return [f"There is no lock in {project}; --locks names another directory."]
    place = tempfile.mkdtemp(prefix="planning-", dir=directory)

    def crosswheel():
        command = [options.crosswheel, "wheelhouse", "--project", project, "--plan", "--python", options.plan_python]
        command += ["--glibc", "2.36", "--cache-dir", os.path.join(place, "cache")]
        return [call([*command, *(part for target in TARGETS for part in ["--target", target])])]

    def uv():
        command = [options.uv, "sync", "--frozen", "--dry-run", f"--project={project}"]
        command.append(f"--python={options.plan_python}")
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
