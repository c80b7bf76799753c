"""siso (Go; Chromium's ninja) building a small project remotely."""

import re

from harness.report import expect, expect_equal, expect_in, tail

STEPS = 5  # of the default targets of build.ninja


def prepare(place):
    place.copy_project("ninja")


def builds(run, place):
    with run.server() as server:
        with run.check("cold: every step runs remotely", needed=True):
            cold = siso(place, server)
            expect_equal(cold, {"local": 0, "remote": STEPS, "cache": 0}, "steps")
            results(place)

        with run.check("warm: every step is a cache hit"):
            warm = siso(place, server)
            expect_equal(warm, {"local": 0, "remote": 0, "cache": STEPS}, "steps")
            results(place)

        with run.check("a header changed: only what depends on it runs"):
            place.write("include/square.h", "int square(int number); /* changed */\n")
            changed = siso(place, server)
            # Both objects come out as before, and so what is made of them is known.
            expect_equal(changed, {"local": 0, "remote": 2, "cache": STEPS - 2}, "steps")
            place.write("include/square.h", "int square(int number);\n")


def failure(run, place):
    with run.server() as server:
        with run.check("a step that fails: its exit code and stderr reach the user"):
            finished = call(place, server, "out/never")
            expect(finished.code != 0, "siso succeeded")
            expect_in("why it failed", finished.output)
            expect_in("9", finished.output)


def options(run, place):
    settings = [
        ("BLAKE3", ["-reapi_digest_function=blake3"]),
        ("zstd in batches and streams", ["-reapi_batch_compress_blob=1", "-reapi_compress_blob=1"]),
        ("byte streams for everything", ["-reapi_byte_stream_read_threshold=1"]),
        ("chunked blobs (SplitBlob, SpliceBlob)", ["-reapi_chunked_blobs_threshold=100000"]),
        ("one stream of Execute", ["-reapi_keep_exec_stream"]),
        ("a priority", ["-reapi_priority=5"]),
        ("an instance name", ["-reapi_instance=some/instance"]),
    ]
    for name, flags in settings:
        with run.server() as server, run.check(f"{name}: {' '.join(flags)}"):
            cold = siso(place, server, flags)
            expect_equal(cold, {"local": 0, "remote": STEPS, "cache": 0}, "steps")
            results(place)
            warm = siso(place, server, flags)
            expect_equal(warm, {"local": 0, "remote": 0, "cache": STEPS}, "steps")
            results(place)


def compression(run, place):
    with run.server() as server:
        with run.check("gRPC's own compression, which we do not speak, is refused in words"):
            clean(place)
            finished = call(place, server, "-reapi_enable_grpc_compression")
            expect(finished.code != 0, "siso succeeded: then this belongs to the options above")
            expect_in("gzip", finished.output)


def siso(place, server, flags=()):
    """Builds the default targets from nothing, and says how many steps ran where."""
    clean(place)
    finished = call(place, server, *flags)
    expect_equal(finished.code, 0, f"exit code of siso, which said:\n{tail(finished.output)}\n")
    counts = re.search(r"local:(\d+) remote:(\d+) cache:(\d+)", finished.output)
    expect(counts, f"siso did not say what it ran:\n{tail(finished.output)}")
    return dict(zip(["local", "remote", "cache"], map(int, counts.groups()), strict=True))


def clean(place):
    place.remove("out", ".siso_fs_state", ".siso_deps", ".siso_failed_targets", ".siso_last_targets", ".ninja_log")


def call(place, server, *arguments):
    address = [f"-reapi_address={server.host_and_port}", "-reapi_insecure", "-project="]
    if not any(argument.startswith("-reapi_instance") for argument in arguments):
        address.append("-reapi_instance=")
    return place.run("siso", "ninja", *address, "-strict_remote", *arguments)


def results(place):
    expect_equal(place.read("out/result.txt"), "The square of 12 is 144\n", "result.txt")
    expect_equal(len(place.read("out/numbers.txt").splitlines()), 300000, "lines of numbers.txt")


SCENARIOS = [("builds", builds), ("failure", failure), ("options", options), ("compression", compression)]
