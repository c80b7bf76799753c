"""Trees of files as data that can be compared. Does not know who made them."""

import hashlib
import os
import shutil


def manifest(root, skip=lambda path: False):
    """What is below `root`: relative path -> kind, and content, executable bit or target. Symlinks are not followed."""
    found = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, root)
            if skip(relative):
                if name in names:
                    names.remove(name)
                continue
            found[relative] = _describe(path)
    return found


def _describe(path):
    if os.path.islink(path):
        return f"symlink to {os.readlink(path)}"
    if os.path.isdir(path):
        return "directory"
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    executable = " executable" if os.access(path, os.X_OK) and os.stat(path).st_mode & 0o111 else ""
    return f"file {digest}{executable}"


def differences(expected, actual):
    """Lines that say how two manifests differ; none if they are equal."""
    lines = []
    for path in sorted(expected.keys() | actual.keys()):
        want, have = expected.get(path, "nothing"), actual.get(path, "nothing")
        if want != have:
            lines.append(f"{path}: expected {want}, got {have}")
    return lines


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def remove(directory):
    """Removes a tree with read-only directories in it, which Bazel leaves."""

    def make_writable(function, path, _error):
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
        function(path)

    shutil.rmtree(directory, onerror=make_writable)
