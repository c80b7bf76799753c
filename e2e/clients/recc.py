"""recc (C++, BuildBox): the wrapper that sends one compile command at a time."""

from harness.report import expect, expect_equal, expect_in, tail

SOURCES = ["main", "square"]


def prepare(place):
    place.copy_project("c")
    place.write("out/.keep", "")


def compiles(run, place):
    with run.server() as server:
        with run.check("cold: both sources are compiled remotely", needed=True):
            for source in SOURCES:
                said = compile_(place, server, source)
                expect_in("Executing action remotely", said)

        with run.check("linked remotely, and the program runs"):
            linked = recc(place, server, "-o", "out/program", "out/main.o", "out/square.o", RECC_LINK="1")
            expect_equal(linked.code, 0, f"exit code of recc:\n{tail(linked.output)}\n")
            expect_in("Executing action remotely", linked.output)
            program = place.run("out/program")
            expect_equal(program.output, "The square of 12 is 144\n", "what the program prints")

        with run.check("warm: both are cache hits, with the same bytes"):
            first = place.manifest("out")
            for source in SOURCES:
                place.remove(f"out/{source}.o")
                said = compile_(place, server, source)
                expect_in("Action Cache hit", said)
                expect("Executing action remotely" not in said, f"{source} was compiled again")
            expect_equal(place.manifest("out"), first, "outputs")

        with run.check("a header changed: compiled again"):
            place.write("include/square.h", "int square(int number); /* changed */\n")
            expect_in("Executing action remotely", compile_(place, server, "main"))
            place.write("include/square.h", "int square(int number);\n")


def failure(run, place):
    with run.server() as server:
        with run.check("a broken source: gcc's exit code and words"):
            finished = recc(place, server, "-Iinclude", "-c", "source/broken.c", "-o", "out/broken.o")
            expect_equal(finished.code, 1, "exit code of recc")
            expect_in("Executing action remotely", finished.output)
            expect_in("undeclared", finished.output)

        with run.check("a platform no worker has: refused, with what there is"):
            finished = recc(
                place,
                server,
                *["-Iinclude", "-c", "source/main.c", "-o", "out/main.o"],
                RECC_REMOTE_PLATFORM_Arch="pdp11",
            )
            expect(finished.code != 0, "recc succeeded")
            expect_in("pdp11", finished.output)
            expect_in("amd64", finished.output)


def uncached(run, place):
    with run.server() as server:
        with run.check("do_not_cache: executed each time"):
            for _ in range(2):
                expect_in("Executing action remotely", compile_(place, server, "main", RECC_ACTION_UNCACHEABLE="1"))

        with run.check("skip_cache_lookup: executed although it is known"):
            compile_(place, server, "square")
            expect_in("Executing action remotely", compile_(place, server, "square", RECC_SKIP_CACHE="1"))


def cache_only(run, place):
    with run.server() as server:
        with run.check("RECC_CACHE_ONLY: compiled here, uploaded, found again"):
            settings = {"RECC_CACHE_ONLY": "1", "RECC_CACHE_UPLOAD_LOCAL_BUILD": "1"}
            said = compile_(place, server, "main", **settings)
            expect("Executing action remotely" not in said, "it was executed remotely")
            place.remove("out/main.o")
            expect_in("Action Cache hit", compile_(place, server, "main", **settings))


def compile_(place, server, source, **settings):
    finished = recc(
        place, server, "-Wall", "-Iinclude", "-c", f"source/{source}.c", "-o", f"out/{source}.o", **settings
    )
    expect_equal(finished.code, 0, f"exit code of recc, which said:\n{tail(finished.output)}\n")
    expect_equal(place.run("test", "-s", f"out/{source}.o").code, 0, f"whether {source}.o is there")
    return finished.output


def recc(place, server, *arguments, **settings):
    env = {
        "RECC_SERVER": server.http2_address,
        "RECC_PROJECT_ROOT": place.directory,
        "RECC_REMOTE_PLATFORM_OSFamily": "Linux",
        "RECC_REMOTE_PLATFORM_Arch": "amd64",
        "RECC_LOG_LEVEL": "info",
        **settings,
    }
    return place.run("recc", "/usr/bin/gcc", *arguments, env=env)


SCENARIOS = [("compiles", compiles), ("failure", failure), ("uncached", uncached), ("cache_only", cache_only)]
