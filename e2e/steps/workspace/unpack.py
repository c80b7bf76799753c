"""unpack.py SDIST DIRECTORY: the first of two steps.

What has a name that is not ASCII is left out: with such a name in a tree artifact, Bazel 4.2.3 fails the build, and
7.7.1 crashes in a later one. In one step, Bazel never sees the names.
"""

import sys
import tarfile

with tarfile.open(sys.argv[1]) as sdist:
    members = [member for member in sdist.getmembers() if member.name.isascii()]
    sdist.extractall(sys.argv[2], members, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
