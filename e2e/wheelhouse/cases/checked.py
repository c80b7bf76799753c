"""What a check finds: a module that cannot be imported where it is installed, on each target."""

from harness.files import read
from harness.report import expect_equal, expect_in
from wheelhouse.app import TARGETS

MODULE = "units/src/almanac_units/__init__.py"

# The exit code of `check-failed`.
CHECK_FAILED = 26


def checked(run):
    run.house()
    sound = read(run.app.path(MODULE))
    project = ["--project", run.app.directory, "--package", "almanac-units", "--no-default-groups", "--check"]
    try:
        run.app.write(MODULE, f"{sound}\nimport nobody_has_this\n")
        with run.check("a package that cannot be imported is found on each target, and named"):
            ended = run.crosswheel.wheelhouse(*project, "--out", run.directory("checked"), targets=TARGETS)
            expect_equal(ended.code, CHECK_FAILED, f"exit code, of what said\n{ended.errors}{ended.output}")
            said = ended.errors + ended.output
            for target in TARGETS:
                expect_in(f"{target}: almanac-units 2.1.0: import: ", said)
            expect_in("ModuleNotFoundError: No module named 'nobody_has_this'", said)
    finally:
        run.app.write(MODULE, sound)
