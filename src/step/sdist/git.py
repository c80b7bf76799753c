"""Stands in for git in a build that has no repository: answers what was recorded where there is one.

Called as git.py TOP ANSWERS ASKED ARGUMENT...: the top directory of the tree; the directory with answers.json, or
nothing if there is none; the file that each question is noted in. What has not been recorded is answered with failure,
and recorded before the next try by whoever has the repository.
"""
import json
import os
import sys

# What stands for the top directory in questions and answers.
PLACEHOLDER = "@crosswheel-top@"
# No honest build asks this much.
MOST_NOTED = 8 << 20
FATAL = 128
NO_REPOSITORY = "fatal: not a git repository (or any of the parent directories): .git\n"


def ask(top, arguments):
    """The question, and the prefix that members of an archive are to have."""
    for variable, option in (("GIT_WORK_TREE", "--work-tree="), ("GIT_DIR", "--git-dir=")):
        if os.environ.get(variable):
            arguments = [option + os.environ[variable]] + arguments
    arguments, prefix = without_prefix(top, arguments)
    directory = os.path.relpath(os.path.realpath(os.getcwd()), top)
    question = {
        "directory": "" if directory == "." else directory,
        "arguments": [general(top, argument) for argument in arguments],
    }
    if "--stdin" in arguments:
        question["stdin"] = general(top, sys.stdin.buffer.read(MOST_NOTED).decode("utf-8", "backslashreplace"))
    return question, prefix


def general(top, argument):
    argument = argument.replace(top + "/", PLACEHOLDER + "/")
    return argument[: -len(top)] + PLACEHOLDER if argument.endswith(top) else argument


def without_prefix(top, arguments):
    """A prefix that depends on where the tree is here is no part of the question."""
    if "archive" not in arguments:
        return arguments, None
    for index, argument in enumerate(arguments):
        if argument.startswith("--prefix=" + top):
            return arguments[:index] + arguments[index + 1:], argument[len("--prefix="):]
        if argument == "--prefix" and arguments[index + 1:][:1] and arguments[index + 1].startswith(top):
            return arguments[:index] + arguments[index + 2:], arguments[index + 1]
    return arguments, None


def note(path, question):
    line = json.dumps(question).encode("ascii") + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    if os.fstat(descriptor).st_size + len(line) <= MOST_NOTED:
        os.write(descriptor, line)
    os.close(descriptor)


def find(answers, question):
    for answer in answers.get("answers", ()):
        if all(answer.get(key) == question[key] for key in question):
            return answer
    return None


def write(path, top, prefix):
    """Writes what is in the file `path`."""
    out = sys.stdout.buffer
    if prefix is not None:
        return add_prefix(path, prefix, out)
    with open(path, "rb") as file:
        # An archive is neither text nor small.
        if "\n" not in top and os.fstat(file.fileno()).st_size < (16 << 20):
            out.write(file.read().replace(PLACEHOLDER.encode(), os.fsencode(top)))
            return
        while True:
            piece = file.read(1 << 20)
            if not piece:
                return
            out.write(piece)


def add_prefix(path, prefix, out):
    import tarfile

    with tarfile.open(path, "r:") as source, tarfile.open(
        fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, pax_headers=source.pax_headers
    ) as target:
        if prefix.endswith("/"):
            directory = tarfile.TarInfo(prefix.strip("/"))
            directory.type, directory.mode = tarfile.DIRTYPE, 0o775
            target.addfile(directory)
        for member in source:
            member.name = prefix.lstrip("/") + member.name
            member.pax_headers.pop("path", None)
            target.addfile(member, source.extractfile(member) if member.isreg() else None)


def main(top, answers_directory, asked, *arguments):
    question, prefix = ask(top, list(arguments))
    note(asked, question)
    answers = {"repository": "none"}
    if answers_directory:
        with open(os.path.join(answers_directory, "answers.json"), encoding="utf-8") as file:
            answers = json.load(file)
    outside = question["directory"].split("/")[0] == ".."
    answer = None if outside else find(answers, question)
    if answer is None:
        unknown = answers["repository"]
        unknown = unknown.get("unknown") if isinstance(unknown, dict) else None
        if unknown:
            sys.stderr.write(unknown["stderr"])
            return unknown["code"]
        if outside or answers["repository"] == "none":
            sys.stderr.write(NO_REPOSITORY)
        else:
            sys.stderr.write("crosswheel: this has not been asked before: git %s\n" % " ".join(arguments))
        return FATAL
    sys.stderr.write(answer["stderr"].replace(PLACEHOLDER, top))
    if answer["stdout"]:
        write(os.path.join(answers_directory, os.path.basename(answer["stdout"])), top, prefix)
        sys.stdout.buffer.flush()
    return answer["code"]


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except BrokenPipeError:
        # Whoever asked has read enough.
        os._exit(141)
