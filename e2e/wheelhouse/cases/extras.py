"""Two extras that exclude each other: each alone is right, both at once are refused with their names."""

from harness.report import expect, expect_in
from wheelhouse.app import TARGETS


def extras(run):
    project = ["--project", run.app.directory]
    for extra, version in [("classic", "2.1.5"), ("modern", "3.")]:
        for target in TARGETS:
            with run.check(f"{target}: {extra} alone has its markupsafe"):
                lines = run.crosswheel.lines(*project, "--extra", extra, target=target)
                (line,) = [line for line in lines if line.startswith("markupsafe==")]
                expect(line.startswith(f"markupsafe=={version}"), f"it is {line}")

    for asked in [["--extra", "classic", "--extra", "modern"], ["--all-extras"]]:
        with run.check(f"{' '.join(asked)}: refused, with the names of both"):
            both = run.crosswheel.wheelhouse(*project, *asked, "--out", run.directory("refused"), targets=TARGETS)
            expect(both.code not in (0, 101), both.said())
            for extra in ["classic", "modern"]:
                expect_in(f"`{extra}`", both.errors + both.output)
