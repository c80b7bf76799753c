"""trexe (C++, BuildBox): any command with any inputs and outputs, and operations by name."""

from harness import processes
from harness.report import expect, expect_equal, expect_in, tail

_MAKES_A_TREE = """
set -e
echo hello; echo warning >&2
mkdir -p tree/empty tree/deep
cat in/one in/sub/two > out.txt
cp in/one tree/deep/copy
ln -s deep/copy tree/link
printf '#!/bin/sh\\n' > tree/script; chmod 755 tree/script
: > 'tree/ünï ☃'
"""


def prepare(place):
    place.write("in/one", "one\n")
    place.write("in/sub/two", "two\n")


def outputs(run, place):
    arguments = ["--input-path=in:in", "--output-path=out.txt", "--output-path=tree", "--d=result"]
    with run.server() as server:
        with run.check("inputs, an output file, an output directory, both streams", needed=True):
            place.remove("result")
            finished = trexe(place, server, *arguments, script=_MAKES_A_TREE)
            succeeded(finished)
            expect(not was_cached(finished), "it was cached")
            expect_in("hello", finished.output)
            expect_in("warning", finished.output)
            expect_equal(place.read("result/out.txt"), "one\ntwo\n", "out.txt")
            kinds = {path: kind.split(" ")[0] for path, kind in place.manifest("result/tree").items()}
            expected = {
                "deep": "directory",
                "deep/copy": "file",
                "empty": "directory",
                "link": "symlink",
                "script": "file",
                "ünï ☃": "file",
            }
            expect_equal(kinds, expected, "what is in the output directory")
            expect("executable" in place.manifest("result/tree")["script"], "script lost its executable bit")
            expect_equal(place.read("result/tree/link"), "one\n", "what the symlink leads to")

        with run.check("the second time it is a cached result"):
            first = place.manifest("result")
            place.remove("result")
            finished = succeeded(trexe(place, server, *arguments, script=_MAKES_A_TREE))
            expect(was_cached(finished), "it was executed again")
            expect_equal(place.manifest("result"), first, "outputs")

        for flag in ["--skip-cache-lookup", "--do-not-cache"]:
            with run.check(f"{flag}: executed again"):
                for _ in range(2):
                    finished = succeeded(trexe(place, server, *arguments, flag, script=_MAKES_A_TREE))
                    expect(not was_cached(finished), "it was cached")

        with run.check("node properties: mtime and unix_mode of inputs are set, those of outputs are told"):
            place.remove("result")
            script = "set -e; stat -c '%Y %a' in/one > out.txt; touch -d @1000000000 out.txt; chmod 640 out.txt"
            succeeded(
                trexe(
                    place,
                    server,
                    "--input-path=in:in:mtime,unix_mode",
                    "--output-path=out.txt",
                    "--output-node-properties=mtime",
                    "--output-node-properties=unix_mode",
                    "--d=result",
                    script=script,
                )
            )
            modified = place.run("stat", "-c", "%Y %a", "in/one").output
            expect_equal(place.read("result/out.txt"), modified, "mtime and mode of the input in the action")

        with run.check("a working directory, environment variables, a salt, a priority"):
            place.remove("result")
            finished = trexe(
                place,
                server,
                "--input-path=in:in",
                "--working-dir=in/sub",
                "--env=COLOUR=dark blue",
                "--salt=pepper",
                "--priority=3",
                script='cat two; echo "$COLOUR"; pwd',
            )
            succeeded(finished)
            expect_in("two\ndark blue\n", finished.output)
            expect_in("/in/sub\n", finished.output)


def failures(run, place):
    with run.server() as server:
        with run.check("an exit code and stderr come back"):
            finished = trexe(place, server, script="echo why >&2; exit 5")
            expect_equal(finished.code, 5, "exit code of trexe")
            expect_in("why", finished.output)

        with run.check("a timeout of the action is one"):
            finished = trexe(place, server, "--exec-timeout=1", script=f"echo before; sleep {run.sleep_seconds}")
            expect(finished.code != 0, "trexe succeeded")
            expect_in("Action.timeout", finished.output)
            processes.wait_until(lambda: not run.sleepers(), "the action to be gone")

        with run.check("a platform no worker has: refused, with what there is"):
            finished = trexe(place, server, "--platform-properties=Arch=pdp11", script="true")
            expect(finished.code != 0, "trexe succeeded")
            expect_in("pdp11", finished.output)
            expect_in("amd64", finished.output)

        with run.check("an output that is not made is no error of the server's"):
            place.remove("result")
            succeeded(trexe(place, server, "--output-path=nothing", "--d=result", script="true"))


def operations(run, place):
    with run.server() as server:
        with run.check("submitted without waiting, fetched later by the operation's name"):
            place.remove("later")
            submitted = trexe(place, server, "--no-wait", "--output-path=late", script="sleep 1; echo late > late")
            succeeded(submitted)
            name = submitted.output.strip().splitlines()[-1]
            processes.wait_until(
                lambda: trexe(place, server, f"--operation={name}", "--d=later").code == 0, f"operation {name}"
            )
            expect_equal(place.read("later/late"), "late\n", "its output")

        with run.check("cancelled by its name: the action ends"):
            submitted = trexe(place, server, "--no-wait", script=f"sleep {run.sleep_seconds}")
            succeeded(submitted)
            name = submitted.output.strip().splitlines()[-1]
            processes.wait_until(run.sleepers, "the action to run")
            succeeded(trexe(place, server, f"--operation={name}", "--cancel"))
            processes.wait_until(lambda: not run.sleepers(), "the action to be gone")

        with run.check("an operation nobody knows"):
            finished = trexe(place, server, "--operation=nobody-knows-it", "--d=later")
            expect(finished.code != 0, "trexe succeeded")


def was_cached(finished):
    """As the debug log says; what trexe writes as JSON it cannot where there are metadata of types it does not know."""
    return "Result was cached!" in finished.output


def trexe(place, server, *arguments, script=None):
    platform = [] if any("platform" in argument for argument in arguments) else ["OSFamily=Linux,Arch=amd64"]
    command = ["--", "/bin/sh", "-c", script] if script is not None else []
    platform = [f"--platform-properties={properties}" for properties in platform]
    log = ["--log-level=debug"] if "--no-wait" not in arguments else []
    return place.run("trexe", f"--remote={server.http2_address}", *log, *platform, *arguments, *command)


def succeeded(finished):
    expect_equal(finished.code, 0, f"exit code of trexe, which said:\n{tail(finished.output)}\n")
    return finished


SCENARIOS = [("outputs", outputs), ("failures", failures), ("operations", operations)]
