"""What is to be installed, before anything is done: as uv has it, for either target."""

from harness.report import expect, expect_equal
from wheelhouse.app import TARGETS, built

# As uv calls a Debian bookworm.
PLATFORMS = {"linux_amd64": "x86_64-manylinux_2_36", "linux_arm64": "aarch64-manylinux_2_36"}

ASKED = [[], ["--extra", "classic"], ["--no-default-groups", "--extra", "modern"], ["--only-group", "docs"]]


def plan(run):
    project = run.app.directory
    compared = 0
    for asked in ASKED:
        for target in TARGETS:
            with run.check(f"{target}, {' '.join(asked) or 'nothing more'}: the names and versions are uv's"):
                wanted = run.uv.would_sync(project, run.python, PLATFORMS[target], *asked)
                lines = run.crosswheel.lines("--project", project, *asked, target=target)
                planned = dict(line.split()[0].split("==") for line in lines)
                expect_equal(sorted(planned), sorted(wanted), "names")
                versions = {name: version for name, version in wanted.items() if version}
                expect_equal({name: planned[name] for name in versions}, versions, "versions")
                compared += len(wanted)
    run.note(f"{compared} packages are uv's")

    for target in TARGETS:
        with run.check(f"{target}: what has no wheel that fits is built, and nothing else"):
            lines = run.crosswheel.lines("--project", project, target=target)
            expect(len(lines) >= 40, f"there are {len(lines)} packages only")
            files = {line.split("==")[0]: line.split()[1] for line in lines}
            expect_equal({name for name, file in files.items() if not file.endswith(".whl")}, built(target), "built")
