"""The wheelhouse of the app, for both targets at once, checked on both."""

import os

from harness.files import differences, manifest
from harness.report import expect, expect_equal
from wheelhouse.app import NATIVE, TARGETS, TREES, VERSIONS, built

# Those whose code calls into the C library: not all does.
NEEDS_GLIBC = {"python-geohash", "ciso8601", "ukkonen"}

MACHINES = {"linux_amd64": "x86_64", "linux_arm64": "aarch64"}


def make(run):
    before = manifest(run.app.directory)
    with run.check("it is made, complete and checked, in one command", needed=True):
        house = run.house()
        begun = "with a cache of before" if run.options.cache_dir else "from nothing"
        run.note(f"made {begun} in {run.made.seconds:.1f} s: {len(house.wheels())} wheels for two targets")

    with run.check("nothing is left in the project, and its builds are as crosswheel.lock has them"):
        expect_equal(differences(before, manifest(run.app.directory)), [], "differences")

    found = {}
    for target in TARGETS:
        with run.check(f"{target}: all that is planned is there, pinned by the digest of its wheel"):
            lines = run.crosswheel.lines("--project", run.app.directory, target=target)
            planned = dict(line.split()[0].split("==") for line in lines)
            found[target] = house.complete(target, planned)
            versions = {name: version for name, (version, _) in house.requirements(target).items()}
            expect_equal(versions, {**planned, **VERSIONS}, "versions")

        with run.check(f"{target}: what was not built is the index's own file"):
            for name, wheel in found[target].items():
                if name not in built(target):
                    expect(house.wheels()[wheel] in run.app.lock(), f"the lock has no file with the digest of {wheel}")

        with run.check(f"{target}: machine code is for that machine"):
            natives = {name: house.machines(wheel) for name, wheel in found[target].items()}
            others = {name: machines for name, machines in natives.items() if machines - {MACHINES[target]}}
            expect_equal(others, {}, "code for other machines")
            expect_equal({name for name in NATIVE if not natives[name]}, set(), "wheels without code")

    with run.check("what has no machine code is one wheel for both"):
        pure = (built("linux_amd64") | TREES) - NATIVE
        amd64, arm64 = (found[target] for target in TARGETS)
        expect_equal({name: arm64[name] for name in pure}, {name: amd64[name] for name in pure}, "wheels for arm64")

    with run.check("wheelhouse.json tells of each what it is, from where, and how it came to be"):
        documented(house, found)

    with run.check("no wheel is there that nobody asked for"):
        wanted = {wheel for wheels in found.values() for wheel in wheels.values()}
        expect_equal(sorted(set(house.wheels()) - wanted), [], "others")
        others = {name for name in os.listdir(house.directory) if not name.endswith(".whl")}
        expect_equal(others, {"wheelhouse.json", *(f"requirements-{target}.txt" for target in TARGETS)}, "other files")


def documented(house, found):
    wheels = house.wheels()
    for told in house.document()["targets"]:
        target = told["target"]
        expect_equal(told["complete"], True, f"complete for {target}")
        files = {wheel["name"]: wheel["file_name"] for wheel in told["wheels"]}
        expect_equal(files, found[target], f"files for {target}")
        for wheel in told["wheels"]:
            what = f"{wheel['name']} for {target}"
            expect_equal(wheel["sha256"], wheels[wheel["file_name"]], f"digest of {what}")
            expect_equal(wheel["size_bytes"], os.path.getsize(house.path(wheel["file_name"])), f"size of {what}")
            if wheel["name"] in built(target):
                expect_equal(wheel["report"]["sha256"], wheel["sha256"], f"digest in the report of {what}")
                expect(wheel["worker"], f"nothing says who built {what}")
            else:
                expect_equal(wheel["how"], "fetched", f"how {what} came to be")
            if wheel["name"] in NEEDS_GLIBC & built(target):
                expect(wheel["glibc_floor"], f"nothing says which glibc {what} needs")
            if wheel["name"] in NATIVE & built(target):
                expect_equal(wheel["report"]["emulated"], target == "linux_arm64", f"emulated: {what}")
