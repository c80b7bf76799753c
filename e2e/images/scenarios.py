"""What is checked of the images: what is in them, that they start as they should, and that they build."""

import json
import os
import re

from crossbuild.images import Layout
from harness.files import read
from harness.processes import run as call
from harness.report import expect, expect_equal, expect_in, tail
from images.containers import HOME, USER
from images.places import DOCKER, SECCOMP_PROFILE, health_check

# Podman's own, from golang-github-containers-common: of what a sandbox takes, only `sethostname` is not in it.
ENGINES_PROFILE = "/usr/share/containers/seccomp.json"
OF_A_SANDBOX = ["clone", "mount", "pivot_root", "sethostname", "umount2", "unshare"]

MACHINES = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}
WHEELS = {"amd64": "markupsafe-2.1.5-cp311-cp311-linux_x86_64.whl"}
# The C library of the base.
GLIBC = (2, 36)


def contents(run):
    """What the index says, and what is in the images."""
    layout = Layout(run.layout)
    with run.check("one index has an image for each architecture"):
        platforms = [entry["platform"] for entry in layout.raw()["manifests"]]
        architectures = sorted(platform["architecture"] for platform in platforms)
        expect_equal(architectures, sorted(run.architectures), "in the index")
        expect(all(platform["os"] == "linux" for platform in platforms), f"not for Linux: {platforms}")
    for arch in run.architectures:
        with run.check(f"{arch}: the configuration is that of the Dockerfile"):
            config = layout.config(arch)["config"]
            expect_equal(config["User"], f"{USER}:{USER}", "the user")
            expect_equal(config["Entrypoint"], ["crosswheel"], "the entry point")
            expect_equal(config["Cmd"], ["serve"], "the command")
            expect_equal(list(config["Volumes"]), [HOME], "the volumes")
            expect(f"CROSSWHEEL_STORE={HOME}/store" in config["Env"], f"no store in {config['Env']}")
        image = run.image(arch)
        binary = os.path.join(image.root, "usr/local/bin/crosswheel")
        with run.check(f"{arch}: crosswheel is for that machine, and takes no newer C library than the image has"):
            expect_in(MACHINES[arch], call(["readelf", "--file-header", binary]).output)
            versions = re.findall(r"GLIBC_(\d+)\.(\d+)", call(["readelf", "--version-info", "--wide", binary]).output)
            newest = max((int(major), int(minor)) for major, minor in versions)
            expect(newest <= GLIBC, f"it takes glibc {newest[0]}.{newest[1]}")
            run.note(f"{arch}: crosswheel takes glibc {newest[0]}.{newest[1]}")
        with run.check(f"{arch}: nothing in it gets more rights when it is run by the user, but for Debian's own"):
            found = call(["find", os.path.join(image.root, "usr/local"), "-perm", "/6000"]).output
            expect_equal(found, "", "setuid programs of ours")
        sizes = compressed(run.layout, arch), unpacked(image.root)
        run.note("{}: {} MB to pull, {} MB unpacked".format(arch, *map(megabytes, sizes)))


def sandbox(run):
    """The six system calls, each of which is needed, and the others not."""
    strict = profile(run, without=OF_A_SANDBOX)
    image = run.image("amd64")
    with run.check("a profile without the system calls of a sandbox: doctor says that there is none"):
        code, said = image.container("doctor", seccomp=strict).run()
        expect_equal(code, 0, f"exit code of doctor\n{tail(said)}")
        expect_in("limited  sandbox: no namespaces", said)
    with run.check("with them: every promise holds, and only a private /proc is missing"):
        container = image.container("doctor", seccomp=profile(run))
        code, said = container.run()
        expect_in("limited  sandbox: namespaces work, but: a private /proc", said)
        code, said = image.container("doctor", "--sandbox", seccomp=profile(run)).run()
        expect_equal(code, 0, f"exit code of doctor --sandbox\n{tail(said)}")
        expect_in("Every promise held", said)
    with run.check("with /proc unmasked, too: nothing is missing"):
        code, said = image.container("doctor", seccomp=profile(run), unmasked=True).run()
        expect_in("works    sandbox: user, mount, pid, network, ipc and uts namespaces work", said)
        code, said = image.container("doctor", "--sandbox", seccomp=profile(run), unmasked=True).run()
        expect_equal(code, 0, f"exit code of doctor --sandbox\n{tail(said)}")


    with run.check("under the filter of the systemd unit every promise holds"):
        code, said = image.container("doctor", "--sandbox", seccomp=filter_of_unit(), unmasked=True).run()
        expect_equal(code, 0, f"exit code of doctor --sandbox\n{tail(said)}")


def each_system_call(run):
    """Takes the six away one by one."""
    image = run.image("amd64")
    for call_of_a_sandbox in OF_A_SANDBOX:
        with run.check(f"{call_of_a_sandbox} is needed"):
            lacking = profile(run, without=[call_of_a_sandbox])
            code, said = image.container("doctor", "--sandbox", seccomp=lacking).run()
            expect_equal(code, 1, f"exit code of doctor --sandbox\n{tail(said)}")


def serves(run):
    """`serve` as the image starts it, and as one starts it for others; a wheel, where it is not emulated."""
    if "amd64" in run.architectures:
        serves_natively(run)
    if "arm64" in run.architectures:
        serves_emulated(run, "arm64")


def serves_natively(run):
    image = run.image("amd64")
    with run.check("amd64: the image's own command serves, on loopback alone, until it is told to end"):
        with image.container(seccomp=profile(run, without=OF_A_SANDBOX)) as container:
            container.wait_for(lambda: container.answers("/readyz")[0] == 200, "/readyz to answer")
            expect_in("access   any user here who reaches 127.0.0.1:8980 may execute", container.log())
            healthy(container)
            expect_equal(container.stop(), 0, "the exit code after SIGTERM")
    with run.check("amd64: it does not listen for others unless told that they are trusted"):
        code, said = image.container("serve", "--listen=0.0.0.0:8980").run()
        expect_equal(code, 2, f"exit code\n{tail(said)}")
        expect_in("insecure-public", said)
    builds_a_wheel(run, "amd64")


def serves_emulated(run, arch):
    """Emulated, neither namespaces nor all system calls that actions take are to be had: it starts, and says so."""
    image = run.image(arch)
    with run.check(f"{arch}: it serves, says what it lacks where it is emulated, is healthy, and ends when told to"):
        with image.container("serve", *run.emulated(arch)) as container:
            container.wait_for(lambda: container.answers("/readyz")[0] == 200, "/readyz to answer", patience=300)
            expect_in(f"OSFamily=Linux Arch={arch}", container.log())
            expect_in("sandbox  none", container.log())
            healthy(container)
            expect_equal(container.stop(), 0, "the exit code after SIGTERM")
    with run.check(f"{arch}: `--sandbox required` refuses to do with less"):
        code, said = image.container("serve", *run.emulated(arch), "--sandbox=required").run()
        expect_equal(code, 1, f"exit code\n{tail(said)}")
    with run.check(f"{arch}: its Python and its compiler are whole"):
        program = "import ssl, bz2, lzma, zlib, ctypes, sqlite3; print('whole')"
        code, said = image.container("-IS", "-c", program, entrypoint=["python3"]).run()
        expect_equal((code, said.strip()), (0, "whole"), "what Python says")
        code, said = image.container("--version", entrypoint=["cc"]).run()
        expect_equal(code, 0, f"exit code of cc\n{tail(said)}")


def builds_a_wheel(run, arch):
    image = run.image(arch)
    arguments = ["serve", f"--listen=unix:{HOME}/socket", "--sandbox=required", "--listen=127.0.0.1:8980"]
    with run.check(f"{arch}: one wheel is built by the image, read-only, by a user who is not root"):
        with image.container(*arguments, seccomp=profile(run)) as container:
            container.wait_for(lambda: container.answers("/readyz")[0] == 200, "/readyz to answer", patience=300)
            expect_in(f"Arch={arch} OSFamily=Linux libc=glibc-2.36 python=3.11", container.log())
            healthy(container)
            out = os.path.join(container.directory, "dist")
            built = run.build(arch, f"unix:{container.volume}/socket", out)
            expect_equal(built.code, 0, f"exit code of crosswheel build\n{tail(built.output)}\n{tail(container.log())}")
            expect_equal(os.listdir(out), [WHEELS[arch]], "what was built")
            run.note(f"{arch}: {WHEELS[arch]} in {built.seconds:.1f} s")
            expect_equal(container.stop(), 0, "the exit code after SIGTERM")


def healthy(container):
    """The health check of the Dockerfile, run as the engine runs it."""
    checked = container.within(*health_check(), patience=120)
    expect_equal(checked.code, 0, f"exit code of the health check\n{tail(checked.output)}")


def profile(run, arch="amd64", without=()):
    if arch != "amd64":
        # An emulator makes the calls of this machine, and knows no filters.
        return None
    made = call([SECCOMP_PROFILE, ENGINES_PROFILE, *[f"--without={name}" for name in without]])
    expect_equal(made.code, 0, f"exit code of seccomp-profile\n{tail(made.output)}")
    return json.loads(made.output)


def filter_of_unit():
    """What systemd would make of the unit's SystemCallFilter, SystemCallErrorNumber and SystemCallArchitectures."""
    unit = read(os.path.join(DOCKER, "systemd/crosswheel.service"))
    (allowed,) = re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE)
    names = set()
    for name in allowed.split():
        names |= members(name)
    rule = {"names": sorted(names), "action": "SCMP_ACT_ALLOW"}
    native = {"architectures": ["SCMP_ARCH_X86_64"], "defaultErrnoRet": 1}
    return {"defaultAction": "SCMP_ACT_ERRNO", **native, "syscalls": [rule]}


def members(name):
    """A system call, or those of one of systemd's groups."""
    if not name.startswith("@"):
        return {name}
    lines = call(["systemd-analyze", "syscall-filter", "--no-pager", name]).output.splitlines()[1:]
    words = [line.strip() for line in lines]
    return set().union(*[members(word) for word in words if word and not word.startswith("#")])


def compressed(layout, arch):
    """Bytes of the layers that a machine of this architecture pulls."""
    index = json.loads(read(os.path.join(layout, "index.json")))
    (top,) = index["manifests"]
    entries = json.loads(read(blob(layout, top["digest"])))["manifests"]
    (entry,) = [entry for entry in entries if entry["platform"]["architecture"] == arch]
    return sum(layer["size"] for layer in json.loads(read(blob(layout, entry["digest"])))["layers"])


def blob(layout, digest):
    return os.path.join(layout, "blobs", *digest.split(":"))


def unpacked(root):
    return int(call(["du", "--summarize", "--block-size=1", root]).output.split()[0])


def megabytes(size):
    return round(size / 1_000_000)


SCENARIOS = [
    ("contents", contents),
    ("sandbox", sandbox),
    ("each_system_call", each_system_call),
    ("serves", serves),
]
NOT_IN_CI = {"each_system_call"}
