"""All cases, in the order in which they run. None needs what another one did."""

from engines.cases.crossbuild import crossbuild
from engines.cases.disk import full_disk
from engines.cases.ends import cancelled, lost_input, nobody_has, timed_out
from engines.cases.small import small_actions
from engines.cases.stops import drained_worker, killed_worker, restarted_scheduler, vanished_worker

CASES = [
    (function.__name__, function)
    for function in [
        small_actions,
        killed_worker,
        vanished_worker,
        restarted_scheduler,
        drained_worker,
        full_disk,
        cancelled,
        timed_out,
        lost_input,
        nobody_has,
        crossbuild,
    ]
]

# An engine waits for a worker that vanished before it does anything about it.
NOT_IN_CI = {"vanished_worker"}
