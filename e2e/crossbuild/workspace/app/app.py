"""Says, with a cow, which machine it runs on and which of markupsafe's two implementations it found."""

import importlib.machinery
import os
import platform
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import cowsay
import markupsafe
import markupsafe._speedups

module = os.path.basename(markupsafe._speedups.__file__)
assert module.endswith(importlib.machinery.EXTENSION_SUFFIXES[0]), module
assert markupsafe.escape is markupsafe._speedups.escape
cowsay.cow(f"{markupsafe.escape('<moo>')} on {platform.machine()}")
print(module)
