"""unpack.py SDIST DIRECTORY: the first of two steps.

What has a name that is not ASCII is left out: a build fails that has such a name in a tree artifact, in Bazel 4 and 7
alike. In one step, Bazel never sees the names.
"""

import sys
import tarfile

with tarfile.open(sys.argv[1]) as sdist:
    members = [member for member in sdist.getmembers() if member.name.isascii()]
    sdist.extractall(sys.argv[2], members, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
