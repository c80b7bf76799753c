"""Actions as aspect_rules_py has them, on workers of two architectures, one of them emulated.

`<venv>/bin/python3 build_helper.py <sdist> <directory>`, once as PySdistBuild and once as PySdistNativeBuild. The venv
and the interpreter are thousands of input files; nothing of them is the worker's. What crosswheel adds to that are
platforms, their properties, and the empty toolchains that place the actions.
"""

import os

from crossbuild import action_results
from harness.report import expect, expect_equal, tail
from measure import members, wheel_in

MACHINES = {"amd64": b"\x3e\x00", "arm64": b"\xb7\x00"}  # ELF e_machine
TAGS = {"amd64": "x86_64", "arm64": "aarch64"}
MNEMONICS = {"pure": "PySdistBuild", "native": "PySdistNativeBuild"}
# A pure one, and one whose wheel has machine code.
SDISTS = {"pure": "cowsay", "native": "markupsafe"}
ACTIONS = [(arch, mnemonic) for arch in MACHINES for mnemonic in MNEMONICS.values()]
# More than this is what makes staging them file by file hurt.
MANY = 2000


def adapter(run, bazel):
    with run.server("--pool=amd64", f"--pool=arm64={run.arm64_root}") as server:
        bazel.clean()
        with run.check("rules_py's actions run for two platforms in one build", needed=True):
            cold = _build(bazel, server)
            expect_equal(cold.ran("remote"), len(ACTIONS), "actions that ran")
            spawns = {(_properties(spawn).get("Arch"), spawn["mnemonic"]): spawn for spawn in cold.spawns}
            expect_equal(sorted(spawns), sorted(ACTIONS), "actions by architecture and mnemonic")
            _note_staging(run, "cold", [0, 0], _staged(server))

        with run.check("each is placed by its target platform"):
            for (arch, _), spawn in spawns.items():
                expect_equal(_properties(spawn), {"Arch": arch, "OSFamily": "Linux"}, "properties")
            for arch in MACHINES:
                ran = server.figure("actions_started_total", pool=arch)
                expect_equal(ran, len(MNEMONICS), f"actions of the pool {arch}")

        with run.check("each was run by a worker of its pool, on an interpreter of its architecture"):
            for (arch, _), spawn in spawns.items():
                result = action_results.making(server.store, spawn["listedOutputs"][0])
                expect(result.worker.startswith(f"{arch}/"), f"a worker for {arch} is wanted, not {result.worker}")
                python = f"python/{arch}/bin/python3.11"
                expect(python in _paths(spawn), f"{python} is no input")
                with open(bazel.path(python), "rb") as file:
                    expect_equal(file.read(20)[18:20], MACHINES[arch], f"ELF machine of {python}")

        with run.check(f"each has more than {MANY:,} input files, and a venv as venvs are"):
            for spawn in spawns.values():
                expect(len(_paths(spawn)) > MANY, f"{len(_paths(spawn))} input files")
                _check_venv(bazel, spawn)
            run.note(f"{len(_paths(spawn)):,} input files each")

        with run.check("each makes the right wheel"):
            for (arch, mnemonic), spawn in spawns.items():
                (directory,) = spawn["listedOutputs"]
                name, wheel = wheel_in(os.path.join(os.path.realpath(bazel.path("bazel-out")), "..", directory))
                if mnemonic == MNEMONICS["pure"]:
                    # Made by crosswheel itself when it fetched the sdist.
                    expected, reference = wheel_in(run.wheels, "cowsay-")
                    expect_equal(name, expected, "name of the wheel")
                    expect(wheel == reference, f"{directory} does not have the bytes that crosswheel makes")
                else:
                    _check_machine_code(arch, name, wheel)

        with run.check("a second build is cached"):
            ran = server.figure("actions_started_total")
            bazel.clean()
            warm = _build(bazel, server)
            expect_equal(warm.ran("remote cache hit"), len(ACTIONS), "hits")
            expect_equal(server.figure("actions_started_total"), ran, "actions that the server ran")

        with run.check("one that runs again finds all of its inputs there"):
            before = _staged(server)
            bazel.clean()
            again = _build(bazel, server, ["--noremote_accept_cached"])
            expect_equal(again.ran("remote"), len(ACTIONS), "actions that ran")
            expect_equal(_staged(server)[0], before[0], "files, directories and symlinks made for input roots")
            _note_staging(run, "warm", before, _staged(server))


def _check_machine_code(arch, name, wheel):
    expect(name.endswith(f"-cp311-cp311-linux_{TAGS[arch]}.whl"), f"{name} is not the name of a wheel for {arch}")
    modules = {path: data for path, data in members(wheel).items() if path.endswith(".so")}
    expect(modules, f"{name} has no machine code")
    for path, module in modules.items():
        expect_equal(module[18:20], MACHINES[arch], f"ELF machine of {path} in {name}")


def _build(bazel, server, flags=()):
    targets = [f"//:adapter_{kind}_{arch}" for arch in MACHINES for kind in MNEMONICS]
    build = bazel.build(*targets, server=server, flags=flags)
    expect_equal(build.code, 0, f"exit code of Bazel, which said:\n{tail(build.output)}\n")
    return build


def _properties(spawn):
    return {prop["name"]: prop["value"] for prop in spawn.get("platform", {}).get("properties", [])}


def _paths(spawn):
    return {file["path"] for file in spawn["inputs"]}


def _check_venv(bazel, spawn):
    """Symlinks lead out of it, where Bazel can have them; else `bin/python3` is a launcher."""
    venv = os.path.dirname(os.path.dirname(spawn["commandArgs"][0]))
    arch = _properties(spawn)["Arch"]
    expect(f"{venv}/pyvenv.cfg" in _paths(spawn), f"{venv} has no pyvenv.cfg")
    targets = {file["path"]: file.get("symlinkTargetPath") for file in spawn["inputs"] if file["path"].startswith(venv)}
    expect(targets, f"{venv} has no files")
    for path, target in targets.items():
        if bazel.major < 7 or path == f"{venv}/pyvenv.cfg":
            expect(not target, f"{path} is a symlink")
            continue
        expected = f"site_packages/setuptools/{os.path.basename(path)}"
        if path == f"{venv}/bin/python3":
            expected = f"python/{arch}/bin/python3.11"
        leads_to = os.path.normpath(os.path.join(os.path.dirname(path), target))
        expect_equal(leads_to, expected, f"where {path} leads")


def _staged(server):
    """How much was made for input roots so far, and the seconds that staging took, in all."""
    made = server.figure("input_entries_made_total")
    return [made, server.figure("action_stage_seconds_sum", stage="fetching_inputs")]


def _note_staging(run, state, before, after):
    made, seconds = (now - then for now, then in zip(after, before, strict=True))
    run.note(f"staging {len(ACTIONS)} actions, {state}: {made:,.0f} entries made, {seconds:.3f} s in all")
