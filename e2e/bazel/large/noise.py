"""noise.py OUT: 20,000,000 bytes that look random and are always the same."""

import hashlib
import sys

with open(sys.argv[1], "wb") as file:
    file.write(hashlib.shake_256(b"crosswheel").digest(20_000_000))
