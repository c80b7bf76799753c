"""Tries what is installed beside it, for crosswheel: one thing in each process, as what is tried may end it.

    try_wheels.py import MODULE      imports a module; exit code 77 says that it was
    try_wheels.py pip DIRECTORY      `pip check`, of the pip in a directory

No module that says it was imported by ending its process with the usual code is believed. The last line
of an import that failed is the error in one line, behind a mark.
"""
import os
import sys

IMPORTED = 77
MARK = "crosswheel: "


def leave(code):
    """Ends this process without what was registered for its end, and whatever threads there are."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os._exit(code)


def say(error):
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == main.__code__.co_filename:
        trace = trace.tb_next  # what this script does explains nothing
    sys.__excepthook__(type(error), error.with_traceback(trace), trace)
    text = "%s: %s" % (type(error).__name__, error)
    sys.stderr.flush()
    line = "\n" + MARK + " ".join(text.split())[:2000] + "\n"
    os.write(2, line.encode("utf-8", "backslashreplace"))


def import_module(name):
    sys.argv = [""]
    try:
        __import__(name)
    except BaseException as error:  # SystemExit is how scripts end
        try:
            say(error)
        finally:
            leave(1)
    leave(IMPORTED)


def check_with_pip(directory):
    # The package alone, without what says that it is installed.
    sys.path.insert(0, directory)
    from pip._internal.cli.main import main as pip

    leave(pip(["check"]))


def main():
    sys.path.pop(0)  # the directory of this script
    {"import": import_module, "pip": check_with_pip}[sys.argv[1]](sys.argv[2])


# Children that multiprocessing spawns import this file again under another name.
if __name__ == "__main__":
    main()
