"""Writes an image layer: `layer.py LAYER.tar PLACE INPUT...`.

An input that is a directory holds one wheel, which is installed at PLACE; any other is copied there. The same inputs
give the same bytes.
"""

import io
import os
import sys
import tarfile
import zipfile


def main():
    layer, place, *inputs = sys.argv[1:]
    files = {}
    for path in inputs:
        for name, content in wheel_files(path) if os.path.isdir(path) else source_file(path):
            if name in files:
                raise SystemExit(f"{name} is in two inputs; the second is {path}")
            files[name] = content
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as tar:
        for directory in directories(place, files):
            tar.addfile(member(f"{directory}/", tarfile.DIRTYPE, 0o755))
        for name in sorted(files):
            info = member(f"{place}/{name}", tarfile.REGTYPE, 0o644)
            info.size = len(files[name])
            tar.addfile(info, io.BytesIO(files[name]))


def wheel_files(directory):
    """Names and contents of what an installer would put into site-packages."""
    wheels = [name for name in os.listdir(directory) if name.endswith(".whl")]
    if len(wheels) != 1:
        raise SystemExit(f"one wheel is wanted in {directory}, and there are {wheels}")
    with zipfile.ZipFile(os.path.join(directory, wheels[0])) as wheel:
        for name in wheel.namelist():
            if name.split("/")[0].endswith(".data"):
                raise SystemExit(f"{wheels[0]} has {name}, which does not belong into site-packages")
            if not name.endswith("/"):
                yield name, wheel.read(name)


def source_file(path):
    with open(path, "rb") as file:
        yield os.path.basename(path), file.read()


def directories(place, files):
    found = set()
    for path in [place, *(os.path.dirname(f"{place}/{name}") for name in files)]:
        while path:
            found.add(path)
            path = os.path.dirname(path)
    return sorted(found)


def member(name, kind, mode):
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, mode
    return info


main()
