"""A small project and what is asked of its lock, as data. Does not know how it is locked, or by whom it is read."""

import dataclasses
import os
import textwrap

from locks.packages import Package, source_tree


@dataclasses.dataclass
class Project:
    """`pyproject` and the texts of `files` may have `{index}` and `{second}`, the addresses of its two indexes,
    `{files}`, where its files are, and `{repository}`, the address of a git repository with its `git` files."""

    name: str
    pyproject: str
    # What is in its index.
    packages: list
    # What is asked of it: command line arguments that uv and crosswheel share, in one text each.
    asked: list = dataclasses.field(default_factory=lambda: [""])
    # Other files of the project: path -> text or bytes.
    files: dict = dataclasses.field(default_factory=dict)
    # What is in the second index, which the project has to name itself.
    second: list = dataclasses.field(default_factory=list)
    # The files of a git repository.
    git: dict = dataclasses.field(default_factory=dict)
    # What is only added to pyproject.toml when there is a lock: settings that the lock knows nothing of.
    afterwards: str = ""
    # Whether it is built itself, so that it is among what is installed.
    built: bool = False
    # Whether it was drawn at random: it need not have a lock, nor be installed anywhere.
    drawn: bool = False
    # Whether there is something in it that nobody can install, whatever is asked.
    never: bool = False


def pure(name, *versions, requires=(), **settings):
    """Releases with a wheel for everybody."""
    return [Package(name, version, requires=list(requires), **settings) for version in versions or ["1"]]


def built_tree(directory, package, pyproject=None):
    """The files of a directory that is built into this release."""
    if pyproject is None:
        pyproject = f'[project]\nname = "{package.name}"\nversion = "{package.version}"\nrequires-python = ">=3.10"\n'
        pyproject += f"dependencies = {package.requires}\n"
    tree = source_tree(package.name, package.version, package.metadata(), pyproject=textwrap.dedent(pyproject))
    return {os.path.normpath(f"{directory}/{path}"): text for path, text in tree.items()}
