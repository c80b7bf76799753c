"""All scenarios, in the order in which they run: some read what an earlier one built."""

from crossbuild.builds import builds, built_again
from crossbuild.controls import amd64_only, without_exec_group
from crossbuild.placement import placement
from crossbuild.walkthrough import walkthrough

SCENARIOS = [
    (function.__name__, function)
    for function in [placement, builds, without_exec_group, amd64_only, walkthrough, built_again]
]

# As many emulated builds again.
NOT_IN_CI = {"built_again"}

# What README writes is for modules.
FROM_BAZEL = {"walkthrough": 7}
