#!/usr/bin/env python3
"""Condenses real locks to what planning needs: condense.py DIRECTORY OUT

DIRECTORY holds a folder for each project, with uv.lock, the pyproject.toml files of the workspace and expected/*.txt. Of
the lock there remain records, edges, markers, groups, extras, conflicts and the names of files; hashes, sizes, times and
metadata go, and so do most wheels for platforms and Pythons that no expected file is for. Of a pyproject.toml there remain
the name, the names of extras and groups, and the keys of [tool.uv] that count.
"""

import json
import shutil
import sys
import tomllib
from pathlib import Path

TOP = ["version", "revision", "requires-python", "resolution-markers", "supported-markers", "required-markers", "conflicts"]
MANIFEST = ["members", "default-groups", "dependency-groups", "group-requires-python"]
RECORD = ["name", "version", "source", "default-groups", "resolution-markers", "dependencies", "optional-dependencies",
          "dev-dependencies"]
TOOL_UV = ["default-groups", "workspace", "no-binary", "no-binary-package", "no-build", "no-build-package", "environments",
           "dev-dependencies", "dependency-groups", "no-build-isolation-package", "extra-build-dependencies",
           "extra-build-variables", "config-settings"]
PYTHONS = {"cp310", "cp311", "cp312", "cp313"}


def toml(value):
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key(name)} = {toml(inner)}" for name, inner in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, (int, str)):
        return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"{value!r} is not expected here")


def key(name):
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else json.dumps(name)


def lines(name, value):
    """A key, with each entry of a list on a line of its own."""
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], (dict, list)):
        yield f"{key(name)} = ["
        yield from (f"    {toml(inner)}," for inner in value)
        yield "]"
    else:
        yield f"{key(name)} = {toml(value)}"


def file_of(entry):
    if "url" in entry:
        return {"url": "https://files.invalid/" + entry["url"].split("?")[0].split("#")[0].rsplit("/", 1)[1]}
    return {name: entry[name] for name in ("path", "filename") if name in entry}


def family(wheel):
    """Of which wheels one is enough: those that are for none of the targets, by why they are not."""
    *_, python, abi, platform = wheel.removesuffix(".whl").rsplit("-", 3)
    if "musllinux" in platform or not ("linux" in platform or platform == "any"):
        return platform.split("_")[0]
    if platform != "any" and not platform.endswith(("x86_64", "aarch64")):
        return platform.rsplit("_", 1)[1]
    for tag in python.split("."):
        if tag in PYTHONS or tag.startswith("py") or abi == "abi3":
            return "free-threaded" if abi.endswith("t") else None
    return "another Python"


def wheels_of(record):
    met = set()
    for entry in record.get("wheels", []):
        entry = file_of(entry)
        kind = family(next(iter(entry.values()))) if entry else None
        if kind not in met:
            yield entry
        if kind:
            met.add(kind)


def lock(text):
    old = tomllib.loads(text)
    out = [line for name in TOP if name in old for line in lines(name, old[name])]
    manifest = {name: old["manifest"][name] for name in MANIFEST if name in old.get("manifest", {})}
    if manifest:
        out += ["", "[manifest]"] + [line for name, value in manifest.items() for line in lines(name, value)]
    for record in old["package"]:
        record = {name: ([] if name == "wheels" else value) for name, value in record.items()} | {
            "wheels": list(wheels_of(record))}
        tables = {name: record.pop(name) for name in list(record) if isinstance(record[name], dict)
                  and name in ("optional-dependencies", "dev-dependencies")}
        out += ["", "[[package]]"]
        out += [line for name in RECORD if name in record for line in lines(name, record[name])]
        if "sdist" in record:
            out += lines("sdist", file_of(record["sdist"]))
        if record["wheels"]:
            out += lines("wheels", record["wheels"])
        for name, table in tables.items():
            out += ["", f"[package.{name}]"] + [line for inner, value in table.items() for line in lines(inner, value)]
    return "\n".join(out) + "\n"


def pyproject(text):
    old = tomllib.loads(text)
    out = []
    if project := old.get("project"):
        out += ["[project]", f"name = {toml(project['name'])}", ""]
        if extras := project.get("optional-dependencies"):
            out += ["[project.optional-dependencies]", *(f"{key(name)} = []" for name in extras), ""]
    if groups := old.get("dependency-groups"):
        out += ["[dependency-groups]", *(f"{key(name)} = []" for name in groups), ""]
    uv = {name: value for name, value in old.get("tool", {}).get("uv", {}).items() if name in TOOL_UV}
    if uv:
        out += ["[tool.uv]", *(line for name, value in uv.items() for line in lines(name, value)), ""]
    return "\n".join(out).rstrip() + "\n"


def main(directory, out):
    for project in sorted(path.parent for path in directory.glob("*/uv.lock")):
        place = out / project.name
        shutil.rmtree(place, ignore_errors=True)
        for path in project.rglob("pyproject.toml"):
            target = place / path.relative_to(project)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(pyproject(path.read_text()))
        (place / "uv.lock").write_text(lock((project / "uv.lock").read_text()))
        shutil.copytree(project / "expected", place / "expected")


main(Path(sys.argv[1]), Path(sys.argv[2]))
