"""A project as files: written, and committed where git has to know of it. Does not know what is asked of it."""

import os
import textwrap

from harness.processes import run
from harness.report import Failed, tail
from locks.packages import BUILD_SYSTEM, source_tree

_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_{what}": "e2e@git.invalid" for who in ["AUTHOR", "COMMITTER"] for what in ["NAME", "EMAIL"]},
}


def make(project, index, directory):
    """Writes the project into `directory`, and what it needs into the index."""
    address, files = index.put(f"{project.name}/first", project.packages)
    second, _ = index.put(f"{project.name}/second", project.second)
    repository = f"{directory}.git-source"
    known = {"{index}": address, "{second}": second, "{files}": files, "{repository}": f"file://{repository}"}
    if project.git:
        _write(repository, project.git, {})
        _commit(repository)
    pyproject = textwrap.dedent(project.pyproject)
    if project.built:
        pyproject, others = _built(project, pyproject)
        _write(directory, others, {})
    if 'url = "{index}"' not in pyproject:
        pyproject += '[[tool.uv.index]]\nurl = "{index}"\ndefault = true\n'
    else:
        # The explicit ones are for those that name them; everything else is in the first.
        pyproject += '[[tool.uv.index]]\nname = "default"\nurl = "{index}/"\ndefault = true\n'
    _write(directory, {**project.files, "pyproject.toml": pyproject}, known)


def finish(project, directory):
    """Adds what the lock is not to know."""
    with open(os.path.join(directory, "pyproject.toml"), "a", encoding="utf-8") as file:
        file.write(textwrap.dedent(project.afterwards))


def _built(project, pyproject):
    metadata = f"Metadata-Version: 2.2\nName: {project.name}\nVersion: 1\n"
    tree = source_tree(project.name, "1", metadata)
    return pyproject + BUILD_SYSTEM, {"inner.py": tree["inner.py"]}


def _write(directory, files, known):
    for path, content in files.items():
        full = os.path.join(directory, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if isinstance(content, str):
            content = textwrap.dedent(content)
            for name, value in known.items():
                content = content.replace(name, value)
            content = content.encode()
        with open(full, "wb") as file:
            file.write(content)


def _commit(directory):
    commands = [["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "--message=All"]]
    for command in commands:
        finished = run(["git", "-C", directory, *command], env={**os.environ, **_GIT})
        if finished.code != 0:
            raise Failed(f"git {' '.join(command)} failed:\n{tail(finished.output)}")
