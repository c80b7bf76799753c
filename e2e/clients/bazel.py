"""Bazel, 4 and 7, against the server."""

import glob
import hashlib
import os
import shutil
import time

from harness import processes
from harness.files import differences, read
from harness.report import expect, expect_equal, expect_in, tail

# The targets whose outputs are the same wherever they are built.
REPRODUCIBLE = ["//...", "-//isolation/...", "-//tests/...", "-//unicode/..."]


def reproducible(bazel):
    # Bazel 4 refuses results with absolute symlinks, and crashes when an input is an unresolved one.
    return REPRODUCIBLE if bazel.major >= 7 else [*REPRODUCIBLE, "-//symlinks/...", "//symlinks:dangling"]


def prepare(run, bazel):
    text = f'"""How long an action of this run sleeps."""\n\nSECONDS = "{run.sleep_seconds}"\n'
    bazel.write("failing/seconds.bzl", text)


# Neither Bazel uploads or makes the empty directories in a tree, and consumers get files in place of its symlinks.
_OF_THE_FOREST = ["trees/forest/empty one/inner", "trees/forest.list", "trees/trees.list"]

# What a remote build may not have as a local one has it, for reasons that lie in the client.
_DIFFERENT = {
    # Linked by the worker's compiler, which is not that of the sid root.
    7: ["basic/answer", "basic/answer.o", *_OF_THE_FOREST],
    4: _OF_THE_FOREST,
}

# Cold, warm, and without the bytes


def builds(run, bazel):
    with run.check("local build, for comparison", needed=True):
        local = bazel.build(*reproducible(bazel), flags=["--spawn_strategy=local"])
        succeeded(local)
        expected = bazel.outputs()

    with run.server() as server:
        with run.check("cold: every action runs remotely", needed=True):
            bazel.clean()
            cold = succeeded(bazel.build(*reproducible(bazel), server=server))
            all_ran(cold, "remote", len(cold.spawns))
            all_ran(cold, "remote", local.ran("local"))
            cold_outputs = bazel.outputs()
            run.note(f"cold: {len(cold.spawns)} actions in {cold.seconds:.1f} s (local: {local.seconds:.1f} s)")

        with run.check("the outputs are those of a local build"):
            expect_same(expected, cold_outputs, but=_DIFFERENT[bazel.major])

        with run.check("both streams of an action reach the user"):
            expect_in("said on stdout", cold.output)
            expect_in("said on stderr", cold.output)

        with run.check("what consumers of trees saw"):
            _trees_were_seen(bazel)

        with run.check("warm: everything is a remote cache hit, with the same outputs"):
            bazel.clean()
            warm = succeeded(bazel.build(*reproducible(bazel), server=server))
            all_ran(warm, "remote cache hit", cold.ran("remote"))
            all_ran(warm, "remote", 0)
            expect_same(cold_outputs, bazel.outputs())
            expect_in("said on stdout", warm.output)
            run.note(f"warm: {len(warm.spawns)} hits in {warm.seconds:.1f} s")

        with run.check("--noremote_accept_cached: everything runs again"):
            bazel.clean()
            again = succeeded(bazel.build(*reproducible(bazel), server=server, flags=["--noremote_accept_cached"]))
            all_ran(again, "remote", cold.ran("remote"))
            all_ran(again, "remote cache hit", 0)
            expect_same(cold_outputs, bazel.outputs())

        with run.check("one source changed: only what depends on it runs"):
            bazel.write("basic/name.txt", "moon\n")
            changed = succeeded(bazel.build(*reproducible(bazel), server=server))
            # greeting, shout, and count_words, which reads the greeting
            all_ran(changed, "remote", 3)
            expect_equal(bazel.output("basic/greeting.txt"), "Hello, moon!\n", "greeting.txt")
            bazel.write("basic/name.txt", "world\n")

    _without_the_bytes(run, bazel)


def _without_the_bytes(run, bazel):
    # Bazel 4 refuses symlinks among the outputs of what it does not download.
    targets = reproducible(bazel) if bazel.major >= 7 else [*REPRODUCIBLE, "-//trees/...", "-//symlinks/..."]
    with run.server() as server:
        for temperature, kind in [("cold", "remote"), ("warm", "remote cache hit")]:
            with run.check(f"--remote_download_minimal, {temperature}: built, and nothing downloaded"):
                bazel.clean()
                build = succeeded(bazel.build(*targets, server=server, flags=["--remote_download_minimal"]))
                all_ran(build, kind, len(build.spawns))
                for path in ["large/noise.bin", "large/digests.txt", "many/many.txt"]:
                    expect(not os.path.exists(bazel.output_path(path)), f"{path} was downloaded")

        with run.check("outputs can be had after all"):
            build = succeeded(bazel.build("//many", "//large:digests", server=server))
            expect_equal(len(bazel.output("many/many.txt").splitlines()), 300, "lines of many.txt")


def _trees_were_seen(bazel):
    trees = bazel.output("trees/trees.list")
    for line in ["first/file: b'1\\n'", "nested/second/dir/file: b'2\\n'", "beside.txt: b'beside\\n'"]:
        expect_in(f"trees/{line}", trees)
    forest = bazel.output("trees/forest.list")
    for line in ["oak/branch/twig/leaf: b'leaf\\n'", "oak/empty: b''"]:
        expect_in(line, forest)
    expect_equal(os.readlink(bazel.output_path("symlinks/dangling")), "nowhere/to/be/found", "dangling")
    if bazel.major >= 7:
        expect_equal(bazel.output("symlinks/read_dangling.txt"), "nowhere/to/be/found\n", "read_dangling.txt")
        expect_equal(bazel.output("symlinks/read_absolute.txt"), "/usr/lib\n", "read_absolute.txt")


def unicode(run, bazel):
    """Names that are not ASCII, of sources and outputs.

    Inside of trees neither Bazel gets them right: 4.2.3 encodes them twice, 7.7.1 cannot write them. trexe and casd do.
    """
    with run.server() as server:
        with run.check("names of sources and outputs"):
            bazel.clean()
            for kind in ["remote", "remote cache hit"]:
                bazel.clean()
                build = succeeded(bazel.build("//unicode", server=server))
                all_ran(build, kind, 1)
                expect_equal(bazel.output("unicode/ausgabe-äöü-☃.txt"), "snow\n", "the output")


# What goes wrong must reach the user


def failures(run, bazel):
    with run.server() as server:
        with run.check("an action that fails: its exit code and both streams reach the user"):
            build = bazel.build("//failing:exit_code", server=server)
            expect_equal(build.code, 1, "exit code of Bazel")
            expect_in("this went to stderr", build.output)
            expect_in("this went to stdout", build.output)
            expect_in("37", build.output)

        with run.check("a failed action is not cached"):
            again = bazel.build("//failing:exit_code", server=server)
            expect_equal(again.code, 1, "exit code of Bazel")
            expect(all(not spawn.get("remoteCacheHit") for spawn in again.spawns), "a failure came from the cache")

        with run.check("an action killed by a signal"):
            build = bazel.build("//failing:signal", server=server)
            expect_equal(build.code, 1, "exit code of Bazel")
            expect_in("about to die", build.output)

        with run.check("an action that calls a program that is not there"):
            build = bazel.build("//failing:no_such_program", server=server)
            expect_equal(build.code, 1, "exit code of Bazel")
            expect_in("/no/such/program", build.output)

        with run.check("an action that does not make its output"):
            build = bazel.build("//failing:no_output", server=server)
            expect(build.code != 0, "the build succeeded")
            expect_in("no_output.txt", build.output)
            # Bazel 7 says that it does not exist, Bazel 4 that it was not created.
            expect("does not exist" in build.output or "was not created" in build.output, tail(build.output))

        with run.check("--keep_going: the others are built"):
            build = bazel.build("//failing:exit_code", "//basic:greeting", server=server, flags=["--keep_going"])
            expect_equal(build.code, 1, "exit code of Bazel")
            expect_equal(bazel.output("basic/greeting.txt"), "Hello, world!\n", "greeting.txt")


def platforms(run, bazel):
    with run.server() as server:
        with run.check("properties the worker has, in both spellings"):
            succeeded(bazel.build("//platforms:all", server=server))
            expect_equal(bazel.output("platforms/amd64_linux.txt"), "Linux x86_64\n", "amd64_linux.txt")
            expect_equal(bazel.output("platforms/isa.txt"), "Linux x86_64\n", "isa.txt")

        for target, asked in [("unsatisfiable_value", "pdp11"), ("unsatisfiable_name", "QuantumComputer")]:
            with run.check(f"{target}: refused, with what was asked and what there is"):
                build = bazel.build(f"//platforms:{target}", server=server)
                expect(build.code != 0, "the build succeeded")
                expect_in(asked, build.output)
                expect_in("OSFamily", build.output)
                expect_in("amd64", build.output)


def timeouts(run, bazel):
    with run.server() as server:
        with run.check("a test that hangs is a TIMEOUT, with what it had said"):
            test = bazel.build(
                "//tests:hangs", server=server, command="test", flags=["--test_timeout=3", "--test_output=errors"]
            )
            expect_equal(test.code, 3, "exit code of Bazel")
            expect_in("TIMEOUT", test.output)
            expect_in("said before the timeout", test.output)

    # Bazel sends no timeout for build actions: what ends them is the server's own.
    with run.server("--default-timeout=3s") as server:
        with run.check("a build action that never ends is ended by the server's default, with what it had said"):
            build = bazel.build("//failing:endless", server=server)
            expect_equal(build.code, 1, "exit code of Bazel")
            expect_in("said before the end", build.output)
            expect("timed out" in build.output.lower() or "timeout" in build.output.lower(), tail(build.output))

        with run.check("nothing of it is left"):
            processes.wait_until(lambda: not run.sleepers(), f"{run.sleepers()} to be gone")


def tests(run, bazel):
    with run.server() as server:
        with run.check("a test passes"):
            test = bazel.build("//tests:passes", server=server, command="test", flags=["--test_output=all"])
            expect_equal(test.code, 0, "exit code of Bazel")
            expect_in("printed by the test", test.output)
            expect_in("test data", test.output)
            expect_in("PASSED", test.output)

        with run.check("its result is cached"):
            bazel.clean()
            test = bazel.build("//tests:passes", server=server, command="test", flags=["--test_output=all"])
            expect_equal(test.code, 0, "exit code of Bazel")
            expect_in("cached) PASSED", test.output)
            expect_in("printed by the test", test.output)

        with run.check("a test fails"):
            test = bazel.build("//tests:fails", server=server, command="test", flags=["--test_output=errors"])
            expect_equal(test.code, 3, "exit code of Bazel")
            expect_in("why the test failed", test.output)
            expect_in("FAILED", test.output)


def isolation(run, bazel):
    with run.server() as server:
        bazel.clean()
        with run.check("actions that spoil their inputs spoil no one else's"):
            succeeded(bazel.build("//isolation:witness", server=server))
            expected = "".join(f"precious {n}\n11\n" for n in (1, 2, 3))
            expect_equal(bazel.output("isolation/witness.txt"), expected, "witness.txt")
            for n in (1, 2, 3):
                expect_equal(read(bazel.path(f"isolation/precious{n}.txt")), f"precious {n}\n", f"precious{n}.txt")

        with run.check("the store is intact"):
            run.verify_store(server.store)

        with run.check("/tmp, $TMPDIR and /dev/shm can be written, and are each action's own"):
            succeeded(bazel.build("//isolation:scratch_is_private", server=server))
            expect_equal(bazel.output("isolation/scratch.txt"), "crosswheel-e2e\n" * 4, "scratch.txt")
            expect(
                "crosswheel-e2e-scratch" not in bazel.output("isolation/scratch_is_private.txt"),
                "an action saw another's scratch file",
            )
            for directory in ["/tmp", "/dev/shm"]:
                path = os.path.join(directory, "crosswheel-e2e-scratch")
                expect(not os.path.exists(path), f"an action wrote {path} on this machine")

        with run.check("the environment is what Command says"):
            succeeded(bazel.build("//isolation:environment", server=server))
            expect_equal(
                bazel.output("isolation/environment.txt"),
                """LC_ALL 'C.UTF-8'\nMIXED 'a b=c"d\\'e $f'\nPATH '/usr/bin:/bin'\n""",
                "environment.txt",
            )

        with run.check("without any environment there is a PATH, and the exec root is called as Bazel's own"):
            succeeded(bazel.build("//isolation:bare", server=server))
            expect_equal(bazel.output("isolation/bare.txt"), "_main\ncompiled\n", "bare.txt")

        with run.check("there is no network"):
            succeeded(bazel.build("//isolation:network", server=server))
            expect_equal(bazel.output("isolation/network.txt"), "lo: no route\n", "network.txt")


# Load, crashes, losses


def many_jobs(run, bazel):
    with run.server() as server:
        with run.check("--jobs=50, 301 small actions"):
            bazel.clean()
            build = succeeded(bazel.build("//many", server=server, flags=["--jobs=50"]))
            all_ran(build, "remote", 301)
            expect_equal(len(bazel.output("many/many.txt").splitlines()), 300, "lines of many.txt")
            run.note(f"301 actions in {build.seconds:.1f} s")

        with run.check("--jobs=50, 301 cache hits"):
            bazel.clean()
            build = succeeded(bazel.build("//many", server=server, flags=["--jobs=50"]))
            all_ran(build, "remote cache hit", 301)
            run.note(f"301 hits in {build.seconds:.1f} s")


def restarts(run, bazel):
    with run.server() as server:
        with run.check("kill -9 between builds: the restarted server has everything"):
            bazel.clean()
            first = succeeded(bazel.build("//basic/...", "//trees/...", "//large:digests", server=server))
            server.kill()
            server.start()
            bazel.clean()
            second = succeeded(bazel.build("//basic/...", "//trees/...", "//large:digests", server=server))
            all_ran(second, "remote cache hit", first.ran("remote"))

        with run.check("kill -9 in mid-action: nothing of the action is left, and the build ends"):
            started = bazel.start_build("//failing:long", server=server, flags=["--remote_retries=1"])
            processes.wait_until(run.sleepers, "the action to run")
            server.kill()
            processes.wait_until(lambda: not run.sleepers(), "the action to be gone")
            build = bazel.finish_build(started)
            expect(build.code != 0, "the build succeeded")
            server.start()

        with run.check("kill -9 in mid-build: a restart, and Bazel goes on"):
            bazel.clean()
            started = bazel.start_build(
                "//many", server=server, flags=["--noremote_accept_cached", "--remote_retries=20", "--jobs=20"]
            )
            processes.wait_until(lambda: len(_many_outputs(bazel)) > 20, "some outputs")
            server.kill()
            server.start()
            build = succeeded(bazel.finish_build(started))
            expect_equal(len(bazel.output("many/many.txt").splitlines()), 300, "lines of many.txt")

        with run.check("the store is intact"):
            run.verify_store(server.store)


def _many_outputs(bazel):
    return glob.glob(os.path.join(bazel.output_path("many"), "small*.txt"))


def interrupted(run, bazel):
    # Bazel cancels nothing: it hangs up, and the server decides how long an action may go on without a listener.
    with run.server("--unattended-grace=2s") as server:
        with run.check("Ctrl-C: Bazel ends at once, and the action with it"):
            started = bazel.start_build("//failing:long", server=server)
            processes.wait_until(run.sleepers, "the action to run")
            begin = time.monotonic()
            bazel.interrupt(started)
            build = bazel.finish_build(started)
            expect_equal(build.code, 8, "exit code of Bazel")
            run.note(f"Bazel ended {time.monotonic() - begin:.1f} s after Ctrl-C")
            processes.wait_until(lambda: not run.sleepers(), "the action to be gone", patience=180)
            run.note(f"the action was gone {time.monotonic() - begin:.1f} s after Ctrl-C")

        with run.check("the server goes on"):
            succeeded(bazel.build("//basic:greeting", server=server))


GREETING = hashlib.sha256(b"Hello, world!\n").hexdigest()


def lost_blobs(run, bazel):
    with run.server() as server:
        with run.check("an output lost from the store: no hit without its bytes, it is made again"):
            bazel.clean()
            first = succeeded(bazel.build("//basic/...", server=server))
            _lose(server, GREETING)
            bazel.clean()
            second = succeeded(bazel.build("//basic/...", server=server))
            expect_equal(bazel.output("basic/greeting.txt"), "Hello, world!\n", "greeting.txt")
            all_ran(second, "remote", 1)
            all_ran(second, "remote cache hit", first.ran("remote") - 1)

        with run.check("an output lost while only the server had it: rebuilt, or a message that names it"):
            bazel.clean()
            succeeded(bazel.build("//basic:greeting", server=server, flags=["--remote_download_minimal"]))
            _lose(server, GREETING)
            second = bazel.build("//basic:count_words", server=server, flags=["--remote_download_minimal"])
            if second.code != 0:
                expect(bazel.major < 7, f"Bazel 7 did not recover:\n{tail(second.output)}")
                expect_in(GREETING, second.output)
                bazel.clean()
                succeeded(bazel.build("//basic:count_words", server=server))

        with run.check("a blob with wrong bytes is never served"):
            bazel.clean()
            succeeded(bazel.build("//basic:greeting", server=server))
            path = server.blob_path(GREETING)
            os.chmod(path, 0o644)
            with open(path, "w", encoding="ascii") as file:
                file.write("Hello")
            bazel.clean()
            succeeded(bazel.build("//basic:greeting", server=server))
            expect_equal(bazel.output("basic/greeting.txt"), "Hello, world!\n", "greeting.txt")


def _lose(server, sha256):
    path = server.blob_path(sha256)
    expect(os.path.exists(path), f"the store does not have {path}")
    os.remove(path)


# Other ways to use the store


def cache_only(run, bazel):
    with run.server() as server:
        flags = [f"--remote_cache={server.grpc_address}", "--spawn_strategy=local"]
        targets = ["//basic/...", "//trees/...", "//names/...", "//large:digests"]
        with run.check("--remote_cache alone: local actions fill it"):
            bazel.clean()
            first = succeeded(bazel.build(*targets, flags=flags))
            all_ran(first, "local", len(first.spawns))

        with run.check("--remote_cache alone: all hits, with the same outputs"):
            expected = bazel.outputs()
            bazel.clean()
            second = succeeded(bazel.build(*targets, flags=flags))
            all_ran(second, "remote cache hit", first.ran("local"))
            expect_same(expected, bazel.outputs(), but=_OF_THE_FOREST)


def disk_cache(run, bazel):
    targets = ["//basic/...", "//trees/...", "//names/...", "//large:digests"]
    directory = run.directory("disk-cache")
    with run.check("a --disk_cache directory becomes the store: all hits"):
        bazel.clean()
        first = succeeded(bazel.build(*targets, flags=[f"--disk_cache={directory}", "--spawn_strategy=local"]))
        with run.server(store=directory) as server:
            bazel.clean()
            second = succeeded(bazel.build(*targets, server=server))
            all_ran(second, "remote cache hit", first.ran("local"))
            run.verify_store(server.store)

    with run.check("the store becomes a --disk_cache directory: all hits"):
        with run.server() as server:
            bazel.clean()
            first = succeeded(bazel.build(*targets, server=server))
            expected = bazel.outputs()
        directory = run.directory("store-as-disk-cache")
        for kind in ["ac", "cas"]:
            shutil.copytree(os.path.join(server.store, kind), os.path.join(directory, kind))
        bazel.clean()
        second = succeeded(bazel.build(*targets, flags=[f"--disk_cache={directory}", "--spawn_strategy=local"]))
        expect_equal(second.ran("disk cache hit") + second.ran("remote cache hit"), first.ran("remote"), "hits")
        expect_same(expected, bazel.outputs())


def options(run, bazel):
    """Flags that change what goes over the wire."""
    settings = [
        ("an instance name", ["--remote_instance_name=some/instance"]),
        ("a priority", ["--remote_execution_priority=7"]),
        ("keepalives of Execute", ["--experimental_remote_execution_keepalive"]),
        ("a header", ["--remote_header=x-team=wheels"]),
        ("uploads of 1 blob at a time", ["--remote_max_connections=1"]),
    ]
    if bazel.major >= 7:
        settings += [
            ("merkle tree cache", ["--experimental_remote_merkle_tree_cache"]),
            ("download of some", ["--remote_download_toplevel"]),
            ("tools marked for persistent workers", ["--experimental_remote_mark_tool_inputs"]),
        ]
    for name, flags in settings:
        with run.server() as server, run.check(f"{name}: {' '.join(flags)}"):
            bazel.clean()
            targets = ["//basic/...", "//trees/...", "//workers/..."]
            first = succeeded(bazel.build(*targets, server=server, flags=flags))
            all_ran(first, "remote", len(first.spawns))
            expected = bazel.outputs()
            bazel.clean()
            second = succeeded(bazel.build(*targets, server=server, flags=flags))
            all_ran(second, "remote cache hit", first.ran("remote"))
            expect_same(expected, bazel.outputs())


# Reading builds


def succeeded(build):
    expect_equal(build.code, 0, f"exit code of Bazel, which said:\n{tail(build.output)}\n")
    return build


def all_ran(build, kind, count):
    """Every one of `count` actions was run in one way: "remote", "remote cache hit", "local"..."""
    others = "\n".join(build.not_ran(kind))
    expect_equal(build.ran(kind), count, f"{kind} of {len(build.spawns)}; not so:\n{others}\n")


def expect_same(expected, actual, but=()):
    def compared(files):
        return {path: what for path, what in files.items() if not any(f"{path}/".startswith(f"{one}/") for one in but)}

    lines = differences(compared(expected), compared(actual))
    expect(not lines, "\n".join(lines))


SCENARIOS = [
    (function.__name__, function)
    for function in [
        builds,
        unicode,
        failures,
        platforms,
        isolation,
        timeouts,
        tests,
        many_jobs,
        restarts,
        interrupted,
        lost_blobs,
        cache_only,
        disk_cache,
        options,
    ]
]

# Two builds for each of many flags.
NOT_IN_CI = {"options"}
