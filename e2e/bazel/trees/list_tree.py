"""list_tree.py OUT PATH...: kind and content of everything below the paths, symlinks not followed."""

import os
import sys


def entries(path):
    if os.path.islink(path):
        yield path, "symlink to " + os.readlink(path)
    elif os.path.isdir(path):
        names = sorted(os.listdir(path))
        yield path, f"directory of {len(names)}"
        for name in names:
            yield from entries(os.path.join(path, name))
    elif not os.path.exists(path):
        yield path, "nothing"
    else:
        with open(path, "rb") as file:
            yield path, repr(file.read())


out, *paths = sys.argv[1:]
with open(out, "w", encoding="utf-8") as file:
    for path in paths:
        for entry, what in entries(path):
            file.write(f"{entry}: {what}\n")
