"""count_words.py OUT FILE...: how often each word occurs in all files, as JSON."""

import collections
import json
import sys

out, *paths = sys.argv[1:]
counts = collections.Counter()
for path in paths:
    with open(path, encoding="utf-8") as file:
        counts.update(file.read().split())
with open(out, "w", encoding="utf-8") as file:
    json.dump(dict(sorted(counts.items())), file, indent=1)
