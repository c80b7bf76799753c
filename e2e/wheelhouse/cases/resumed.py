"""What was done is not done again: a second run, and one after a failure."""

import os
import re
import statistics

from harness.files import read
from harness.report import expect, expect_equal, expect_in
from wheelhouse.app import built
from wheelhouse.house import House
from wheelhouse.programs import succeeded

# So many second runs are measured; the first of them may still be on its way to the disk.
ROUNDS = 5


def again(run):
    house = run.house()
    before = _states(house)

    with run.check("a second run does nothing"):
        ended = [succeeded(run.make()) for _ in range(ROUNDS)]
        expect_equal(_states(house), before, "files of the wheelhouse")
        seconds = statistics.median(run.seconds for run in ended)
        run.note(f"a second run takes {seconds:.2f} s, with --check (median of {ROUNDS})")
        plain = [succeeded(run.make(check=False)).seconds for _ in range(ROUNDS)]
        run.note(f"a second run takes {statistics.median(plain):.2f} s (median of {ROUNDS})")

    with run.check("a wheel that was lost is put back, the same"):
        lost = next(name for name in before if name.startswith("phases-") and "aarch64" in name)
        digest = house.wheels()[lost]
        os.remove(house.path(lost))
        succeeded(run.make(check=False))
        expect_equal(house.wheels()[lost], digest, lost)


def broken(run):
    """One package cannot be built: everything else is there, and only that one is built when it is mended."""
    house = House(os.path.join(run.directory("broken"), "wheels"))
    source = "phases/phases.c"
    sound = read(run.app.path(source))

    def make():
        project = ["--project", run.app.directory]
        return run.crosswheel.wheelhouse(*project, "--out", house.directory, targets=["linux_amd64"])

    with run.check("one that fails does not stop the others; a table says which, and of what kind", needed=True):
        run.house()
        run.app.write(source, f"#error the moon is not there\n{sound}")
        ended = make()
        expect(ended.code not in (0, 101), ended.said())
        expect_in("the moon is not there", ended.errors + ended.output)
        row = re.search(r"^phases 1\.0 +linux_amd64 +backend-error +(\S+)$", ended.output, re.MULTILINE)
        expect(row, f"no row of a table says what failed, of what kind, and where its log is:\n{ended.output}")
        expect_in("the moon is not there", read(row[1]))
        expect_equal(house.document()["targets"][0]["complete"], False, "complete, by wheelhouse.json")
        expect(
            not os.path.exists(house.requirements_path("linux_amd64")), "there are requirements for what is not there"
        )
        names = {name.split("-")[0] for name in house.wheels()}
        expect("phases" not in names, "there is a wheel of what cannot be built")
        missing = {name.replace("-", "_") for name in built("linux_amd64") - {"phases"}} - names
        expect_equal(missing, set(), "what is missing, besides")
        run.note(f"one that fails: {len(house.wheels())} wheels are there all the same, exit code {ended.code}")

    with run.check("mended and started again, only that one is built"):
        before = _states(house)
        run.app.write(source, f"/* Mended. */\n{sound}")
        ended = succeeded(make())
        after = _states(house)
        new = {name for name in after if before.get(name) != after[name]}
        (wheel,) = [name for name in new if name.endswith(".whl")]
        expect(wheel.startswith("phases-"), f"{wheel} was made")
        run.note(f"mended and started again in {ended.seconds:.1f} s")
    run.app.write(source, sound)


def locked(run):
    """What builds need is locked beside uv.lock: written if it is not there, and held to from then on."""
    lock, member = "crosswheel.lock", "units/pyproject.toml"
    kept, sound = read(run.app.path(lock)), read(run.app.path(member))
    run.house()

    def make(*more):
        project = ["--project", run.app.directory, "--package", "almanac-units", "--no-default-groups", *more]
        return run.crosswheel.wheelhouse(*project, "--out", run.directory("locked"), targets=["linux_amd64"])

    try:
        with run.check("without a lock, one is written", needed=True):
            os.remove(run.app.path(lock))
            succeeded(make())
            expect_in('name = "hatchling"', read(run.app.path(lock)))

        with run.check("a build that asks for something else is refused, until the lock is updated"):
            run.app.write(member, sound.replace('["hatchling"]', '["hatchling", "editables"]'))
            ended = make()
            expect(ended.code not in (0, 101), ended.said())
            expect_in("--update-lock", ended.errors + ended.output)
            succeeded(make("--update-lock"))
            expect_in('name = "editables"', read(run.app.path(lock)))
    finally:
        run.app.write(member, sound)
        run.app.write(lock, kept)


def _states(house):
    """What tells a file that was written from one that was left alone."""
    states = {}
    for name in os.listdir(house.directory):
        state = os.stat(house.path(name))
        states[name] = (state.st_ino, state.st_mtime_ns, state.st_size)
    return states
