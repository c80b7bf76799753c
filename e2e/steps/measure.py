"""The same wheels in two steps and in one: what each way costs.

Two steps are those that rules had before: one action unpacks the sdist into a tree artifact, another builds from that.
One step is one action that does both. All run on the same workers with the same inputs otherwise.
"""

import dataclasses
import io
import os
import re
import statistics
import zipfile

from harness.report import expect, expect_equal, tail

# In Bazel's last lines: "INFO: Elapsed time: 3.201s, Critical Path: 2.98s"
_ELAPSED = re.compile(r"^INFO: Elapsed time: ([\d.]+)s", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Way:
    """A way from an sdist to a wheel."""

    title: str
    target: str  # of the workspace, behind the sdist's name
    warmup: str  # builds something else in the same environment
    actions: int
    flags: tuple = ()


TWO = Way("two steps", "two_steps", "warmup", 2)
# The tree comes over the wire file by file, as it does to any worker but the one that unpacked.
ELSEWHERE = Way("two steps, unpacked elsewhere", "two_steps", "warmup", 2, ("--strategy=PySdistUnpack=local",))
ONE = Way("one step", "one_step", "warmup", 1)
CROSSWHEEL = Way("one step, `crosswheel wheel`", "crosswheel", "warmup_crosswheel", 1)
WAYS = [TWO, ELSEWHERE, ONE, CROSSWHEEL]


@dataclasses.dataclass
class Cost:
    """What one build cost."""

    seconds: float
    sent: float  # bytes that the server received
    received: float  # bytes that it sent
    made: float  # files, directories and symlinks that the worker made for input roots
    staging: float  # seconds it took
    actions: int

    @property
    def moved(self):
        return self.sent + self.received


def compare(run, bazel):
    for name in run.sdists:
        wheels, inputs = {}, {}
        with run.server() as server:
            with run.check(f"{name}: all ways build it", needed=True):
                for way in WAYS:
                    inputs[way], wheels[way] = _build_and_look(bazel, server, name, way)
            with run.check(f"{name}: what was built is cached, and nothing runs again"):
                _nothing_runs_again(bazel, server, name)
        with run.check(f"{name}: all ways make the same wheel"):
            _same_wheels(run, wheels)

        cold = {way: [] for way in WAYS}
        known = {way: [] for way in WAYS}
        with run.check(f"{name}: measured", needed=True):
            for _ in range(run.rounds):
                for way in WAYS:
                    with run.server() as server:
                        cold[way].append(_measure(bazel, server, name, way))
                    with run.server() as server:
                        _build(bazel, server, f"//:{name}_{way.warmup}", ())
                        known[way].append(_measure(bazel, server, name, way))
        for state, costs in [("cold", cold), ("environment known", known)]:
            with run.check(f"{name}, {state}: one step needs fewer actions, bytes and files than two"):
                _one_is_less(costs)
        for way in WAYS:
            run.row(bazel.major, name, way.title, way.actions, inputs[way], cold[way], known[way])


def _target(name, way):
    return f"//:{name}_{way.target}"


def _build(bazel, server, target, flags):
    build = bazel.build(target, server=server, flags=flags)
    expect_equal(build.code, 0, f"exit code of Bazel, which said:\n{tail(build.output)}\n")
    return build


def _build_and_look(bazel, server, name, way):
    """How many input files its actions have, and the wheel."""
    bazel.clean()
    build = _build(bazel, server, _target(name, way), ["--noremote_accept_cached", *way.flags])
    expect_equal(len(build.spawns), way.actions, f"actions of {way.title}")
    inputs = sum(len(spawn["inputs"]) for spawn in build.spawns)
    return inputs, wheel_in(bazel.output_path(f"{name}_{way.target}"))


def wheel_in(directory, prefix=""):
    """The one wheel in a directory whose name begins so: its name, and its bytes."""
    wheels = [name for name in os.listdir(directory) if name.endswith(".whl") and name.startswith(prefix)]
    expect_equal(len(wheels), 1, f"wheels in {directory}")
    with open(os.path.join(directory, wheels[0]), "rb") as file:
        return wheels[0], file.read()


def members(wheel):
    """All that is in a wheel: name -> bytes."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def _same_wheels(run, wheels):
    name, one = wheels[ONE]
    for way in [TWO, ELSEWHERE]:
        expect_equal(wheels[way][0], name, f"name of the wheel made in {way.title}")
        expect_equal(_different(one, wheels[way][1]), [], f"what differs in {way.title}")
    # Bazel says of every input that it is executable, so what comes from a tree may be.
    lost = sum(1 for member, mode in _modes(wheels[TWO][1]).items() if mode != _modes(one)[member])
    run.note(f"{name}: {lost} of {len(_modes(one))} files have another mode in {TWO.title}")
    name_of_ours, ours = wheels[CROSSWHEEL]
    expect_equal(name_of_ours, name, "name of crosswheel's wheel")
    compiled = [member for member in members(one) if member.endswith(".so")]
    if not compiled:
        expect(ours == one, "crosswheel's wheel has other bytes")
    # Debug information has the place of the sources in it, and RECORD the digests.
    unlike = [member for member in _different(one, ours) if member not in compiled and not member.endswith("/RECORD")]
    expect_equal(unlike, [], "what differs in crosswheel's wheel")


def _different(one, other):
    """Names of members that two wheels do not have with the same bytes."""
    one, other = members(one), members(other)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _modes(wheel):
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return {member.filename: member.external_attr >> 16 & 0o777 for member in archive.infolist()}


def _nothing_runs_again(bazel, server, name):
    ran = server.figure("actions_started_total")
    bazel.clean()
    targets = [_target(name, way) for way in [TWO, ONE, CROSSWHEEL]]
    build = bazel.build(*targets, server=server)
    expect_equal(build.code, 0, f"exit code of Bazel, which said:\n{tail(build.output)}\n")
    expect_equal(build.ran("remote cache hit"), 4, f"hits; not so: {build.not_ran('remote cache hit')}")
    expect_equal(server.figure("actions_started_total"), ran, "actions that the server ran")


def _measure(bazel, server, name, way):
    """Builds when Bazel has analysed everything and made nothing."""
    bazel.clean()
    # The log of all inputs takes time of its own.
    flags = ["--execution_log_json_file=", *way.flags]
    _build(bazel, server, _target(name, way), [*flags, "--nobuild"])
    before = _figures(server)
    build = _build(bazel, server, _target(name, way), flags)
    after = _figures(server)
    sent, received, made, staging = (new - old for old, new in zip(before, after, strict=True))
    actions = build.ran("remote") + build.ran("local")
    return Cost(float(_ELAPSED.findall(build.output)[-1]), sent, received, made, staging, actions)


def _figures(server):
    return [
        server.figure("call_received_bytes_total"),
        server.figure("call_sent_bytes_total"),
        server.figure("input_entries_made_total"),
        server.figure("action_stage_seconds_sum", stage="fetching_inputs"),
    ]


def _one_is_less(costs):
    """Whatever the time: it must hold in every round."""
    for round_, one in enumerate(costs[ONE]):
        expect_equal(one.actions, 1, "actions of one step")
        expect_equal(costs[CROSSWHEEL][round_].actions, 1, "actions of `crosswheel wheel`")
        for way in [TWO, ELSEWHERE]:
            two = costs[way][round_]
            expect_equal(two.actions, 2, f"actions of {way.title}")
            for what in ["moved", "made"]:
                less, more = getattr(one, what), getattr(two, what)
                expect(less < more, f"{what}: {less:.0f} in one step, {more:.0f} in {way.title}")


def middle(costs):
    """The median of each figure."""
    fields = [field.name for field in dataclasses.fields(Cost)]
    return Cost(*(statistics.median(getattr(cost, field) for cost in costs) for field in fields))
