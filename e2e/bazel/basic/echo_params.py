"""echo_params.py @PARAMS: PARAMS names the output in its first line; the other lines are copied to it."""

import sys

(params,) = sys.argv[1:]
with open(params.removeprefix("@"), encoding="utf-8") as file:
    out, *lines = file.read().splitlines()
with open(out, "w", encoding="utf-8") as file:
    file.writelines(line + "\n" for line in lines)
