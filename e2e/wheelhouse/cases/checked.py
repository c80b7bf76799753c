"""What a check finds: a module that cannot be imported where it is installed, on either target."""

from harness.files import read
from harness.report import expect, expect_in
from wheelhouse.app import TARGETS

MODULE = "units/src/almanac_units/__init__.py"


def checked(run):
    run.house()
    sound = read(run.app.path(MODULE))
    project = ["--project", run.app.directory, "--package", "almanac-units", "--no-default-groups", "--check"]
    try:
        run.app.write(MODULE, f"{sound}\nimport nobody_has_this\n")
        for target in TARGETS:
            with run.check(f"{target}: a package that cannot be imported is found, and named"):
                ended = run.crosswheel.wheelhouse(*project, "--out", run.directory("checked"), targets=[target])
                expect(ended.code not in (0, 101), ended.said())
                for word in ["almanac-units", "ModuleNotFoundError", "nobody_has_this", "check-failed"]:
                    expect_in(word, ended.errors + ended.output)
    finally:
        run.app.write(MODULE, sound)
