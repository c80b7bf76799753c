"""Compiles the files named on standard input, separated by NUL, relative to the current directory."""
import sys

# Nothing may be imported from the current directory, which holds foreign code.
sys.path[:] = [entry for entry in sys.path if entry]

import os
import py_compile
import warnings

warnings.simplefilter("ignore")
names = sys.stdin.buffer.read().split(b"\0")
# Python 3.6 knows only files that are checked by time; those would not be valid once installed.
modes = getattr(py_compile, "PycInvalidationMode", None)
for name in names if modes else ():
    source = os.fsdecode(name)
    try:
        py_compile.compile(source, dfile=source, doraise=True, invalidation_mode=modes.UNCHECKED_HASH)
    except py_compile.PyCompileError:
        pass  # Templates, and code for other versions of Python.
