"""The other three kinds of input: requirements, a pylock.toml, a requirement on the command line."""

import os
import tomllib

from harness.files import read
from harness.report import expect_equal
from wheelhouse.app import TARGETS, TREES
from wheelhouse.house import House
from wheelhouse.programs import succeeded


def requirements(run):
    """What uv exports of the lock, with hashes: it holds for all targets, by markers."""
    exported = os.path.join(run.directory("exported"), "requirements.txt")
    without = [f"--no-emit-package={name}" for name in sorted(TREES)]
    uv = ["export", "--frozen", f"--project={run.app.directory}", f"--output-file={exported}", *without]
    succeeded(run.uv.call(*uv))
    house = House(os.path.join(run.directory("requirements"), "wheels"))

    with run.check("requirements with hashes give the wheels that the lock gives", needed=True):
        arguments = ["-r", exported, "--no-binary", "itsdangerous", *_as_locked(run)]
        arguments += ["--out", house.directory]
        ended = succeeded(run.crosswheel.wheelhouse(*arguments, targets=TARGETS))
        run.note(f"requirements: {len(house.wheels())} wheels in {ended.seconds:.1f} s")
    _the_same(run, house, without=TREES)


def pylock(run):
    """What uv exports as PEP 751 has it."""
    exported = run.app.path("pylock.toml")
    uv = ["export", "--frozen", "--format=pylock.toml", f"--project={run.app.directory}", f"--output-file={exported}"]
    succeeded(run.uv.call(*uv))
    house = House(os.path.join(run.directory("pylock"), "wheels"))
    try:
        with run.check("a pylock.toml gives the wheels that the lock gives", needed=True):
            arguments = [exported, "--no-binary", "itsdangerous", *_as_locked(run)]
            arguments += ["--out", house.directory]
            ended = succeeded(run.crosswheel.wheelhouse(*arguments, targets=TARGETS))
            run.note(f"pylock.toml: {len(house.wheels())} wheels in {ended.seconds:.1f} s")
        _the_same(run, house)
    finally:
        os.remove(exported)


def no_binary(run):
    """A requirement on the command line, built although there is a wheel."""
    house = House(os.path.join(run.directory("no-binary"), "wheels"))
    with run.check("a requirement on the command line with --no-binary is built, what it needs is fetched"):
        arguments = ["termcolor>=2,<3", "tomlkit==0.13.3", "--no-binary", "tomlkit", "--out", house.directory]
        succeeded(run.crosswheel.wheelhouse(*arguments, targets=["linux_amd64"]))
        found = house.complete("linux_amd64", ["termcolor", "tomlkit"])
        expect_equal(found["tomlkit"], "tomlkit-0.13.3-py3-none-any.whl", "tomlkit")
        lines = run.crosswheel.lines(*arguments[:4], target="linux_amd64")
        expect_equal([line for line in lines if "tomlkit" in line], ["tomlkit==0.13.3 tomlkit-0.13.3.tar.gz"], "plan")


def _as_locked(run):
    """What makes builds use the versions that the project's crosswheel.lock has: another setuptools makes another wheel."""
    locked = tomllib.loads(read(run.app.path("crosswheel.lock")))["sdist"]
    pins = {f"{needed['name']}=={needed['version']}" for sdist in locked for needed in sdist.get("requirement", [])}
    path = os.path.join(run.directory("constraints"), "constraints.txt")
    with open(path, "w", encoding="ascii") as file:
        file.write("".join(f"{pin}\n" for pin in sorted(pins)))
    return ["--constraint", path]


def _the_same(run, house, without=()):
    made = run.house()
    for target in TARGETS:
        with run.check(f"{target}: all of it is there, and the same to the bit"):
            wanted = {name: pin for name, pin in made.requirements(target).items() if name not in without}
            house.complete(target, wanted)
            found = house.requirements(target)
            others = {name: found.get(name) for name, pin in wanted.items() if found.get(name) != pin}
            expect_equal(others, {}, "other pins")
