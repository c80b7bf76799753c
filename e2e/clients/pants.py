"""Pants 2.16 (its engine is Rust): platforms in the Command alone, commands without a PATH, CancelOperation."""

import os
import platform
import re
import sys

from harness import processes
from harness.report import Failed, expect, expect_equal, expect_in, tail

VERSION = "2.16.1"  # the last that PyPI has; it runs with Python 3.9 and nothing newer
_REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pants_requirements.txt")

# What its wheels are for; the oldest glibc that has all of them is that of bullseye.
_MANYLINUX = ["_2_28", "_2_24", "_2_17", "2014", "2010", "1"]

_TARGETS = [":upper", ":tree", ":sorted"]
_PROPERTIES = ["OSFamily=Linux", "Arch=amd64"]

# `  remote_cache_requests_cached: 5`
_COUNTER = re.compile(r"^ +(\w+): (\d+)$", re.MULTILINE)


def packages(cache):
    """Where Pants is, made once: wheels from PyPI by hash, for a Python that this one need not be."""
    directory = os.path.join(cache, f"pants-{VERSION}")
    if os.path.exists(os.path.join(directory, "complete")):
        return directory
    print(f"Installing Pants {VERSION} into {directory}", flush=True)
    pip = os.path.join(directory, "pip")
    _must(processes.run([sys.executable, "-m", "venv", "--clear", pip]))
    places = [f"--platform=manylinux{version}_{platform.machine()}" for version in _MANYLINUX]
    target = ["--implementation=cp", "--python-version=3.9", "--abi=cp39", "--ignore-requires-python", *places]
    install = [f"{pip}/bin/pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    _must(processes.run([*install, *target, f"--target={directory}/packages", f"--requirement={_REQUIREMENTS}"]))
    open(os.path.join(directory, "complete"), "w", encoding="ascii").close()
    return directory


def prepare(place, python, directory):
    place.copy_project("pants")
    place.python, place.packages = python, os.path.join(directory, "packages")


def _must(finished):
    if finished.code != 0:
        raise Failed(f"{' '.join(finished.command)} failed:\n{tail(finished.output)}")


def builds(run, place):
    with run.server() as server:
        with run.check("cold: everything runs remotely", needed=True):
            forget(place)
            counted = counters(succeeded(pants(place, server, "export-codegen", *_TARGETS)))
            expect_equal(counted["local_execution_requests"], 0, "what ran here")
            expect_equal(counted["remote_cache_requests_cached"], 0, "what was cached")
            expect_equal(counted["remote_execution_errors"], 0, "errors of remote execution")
            expect(counted["remote_execution_success"] >= len(_TARGETS), f"too little ran remotely: {counted}")
            results(place, "ONE\nTWO\nTHREE\n", "TWO\nTHREE\nONE\n")

        with run.check("warm, with nothing known here: all of it comes from the action cache"):
            first = place.manifest("dist")
            forget(place)
            counted = counters(succeeded(pants(place, server, "export-codegen", *_TARGETS)))
            expect_equal(counted["local_execution_requests"], 0, "what ran here")
            expect_equal(counted["remote_cache_requests_uncached"], 0, "what was not cached")
            expect(counted["remote_cache_requests_cached"] >= len(_TARGETS), f"too little was cached: {counted}")
            # One of the outputs is the time at which it was made.
            expect_equal(place.manifest("dist"), first, "outputs")

        with run.check("an input changed: run again, and right"):
            place.write("words.txt", "four\n")
            counted = counters(succeeded(pants(place, server, "export-codegen", *_TARGETS)))
            expect_equal(counted["local_execution_requests"], 0, "what ran here")
            results(place, "FOUR\n", "FOUR\n")
            place.write("words.txt", "one\ntwo\nthree\n")

        with run.check("a test runs remotely, on a property that chooses no worker"):
            tested = succeeded(pants(place, server, "test", ":test", properties=[*_PROPERTIES, "cache-silo-key=e2e"]))
            expect_in("//:test succeeded", tested.output)
            expect_equal(counters(tested)["local_execution_requests"], 0, "what ran here")

        with run.check("all blobs in the store are what their names say"):
            server.stop()
            run.verify_store(server.store)


def failure(run, place):
    with run.server() as server:
        with run.check("a test that fails: its exit code and stderr reach the user"):
            finished = pants(place, server, "test", ":failing")
            expect(finished.code != 0, "pants succeeded")
            expect_in("why it failed", finished.output)
            expect_in("exit code 9", finished.output)

        with run.check("a platform no worker has: refused, with what there is"):
            forget(place)
            finished = pants(place, server, "export-codegen", ":upper", properties=["Arch=pdp11"])
            expect(finished.code != 0, "pants succeeded")
            expect_in("pdp11", finished.output)
            expect_in("amd64", finished.output)


def forget(place):
    """Everything that Pants has kept here, and what it has made."""
    place.remove("dist", "local", ".pants.d")


def results(place, upper, backwards):
    expect_equal(place.read("dist/codegen/upper.txt"), upper, "upper.txt")
    expect_equal(place.read("dist/codegen/sorted.txt"), backwards, "sorted.txt")
    tree = place.manifest("dist/codegen/sub/tree")
    kinds = {path: kind.split(" ")[0] for path, kind in tree.items()}
    expected = {
        "deep": "directory",
        "deep/copy": "file",
        "deep/empty": "directory",
        "link": "symlink",
        "script": "file",
    }
    expect_equal(kinds, expected, "what is in the output directory")
    expect("executable" in tree["script"], "script lost its executable bit")
    expect_equal(place.read("dist/codegen/sub/tree/link"), upper, "what the symlink leads to")


def counters(finished):
    """What Pants has counted (`--stats-log`)."""
    found = {name: int(value) for name, value in _COUNTER.findall(finished.output)}
    expect("remote_execution_requests" in found, f"pants has counted nothing:\n{tail(finished.output)}")
    return found


def pants(place, server, *arguments, properties=_PROPERTIES):
    options = [
        "--no-dynamic-ui",
        "--no-colors",
        "--stats-log",
        f"--local-store-dir={place.path('local/store')}",
        f"--named-caches-dir={place.path('local/named')}",
        "--remote-execution",
        "--remote-cache-read",
        "--remote-cache-write",
        f"--remote-store-address={server.grpc_address}",
        f"--remote-execution-address={server.grpc_address}",
        "--remote-instance-name=pants",
        *[f"--remote-execution-extra-platform-properties={each}" for each in properties],
    ]
    return place.run(place.python, "-m", "pants", *options, *arguments, env={"PYTHONPATH": place.packages})


def succeeded(finished):
    expect_equal(finished.code, 0, f"exit code of pants, which said:\n{tail(finished.output)}\n")
    return finished


SCENARIOS = [("builds", builds), ("failure", failure)]
