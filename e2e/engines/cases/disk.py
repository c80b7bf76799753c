"""A worker whose disk is full."""

import contextlib
import os

from engines.cases.small import all_of, started
from engines.cases.stops import works
from engines.runs import seconds
from harness.processes import run as call
from harness.processes import wait_until
from harness.report import Failed, expect, expect_equal, tail

DISK = "192m"


def full_disk(run):
    with run.client() as client, small_disk(run.directory("disk")) as disk:
        with run.worker("full", slots=2, store=os.path.join(disk, "store")) as full:
            filling = os.path.join(disk, "filling")
            with run.worker("other", slots=2) as other:
                with run.check("a full disk: the worker takes itself out and says why", needed=True):
                    fill(filling)
                    wait_until(lambda: full.readiness()[0] == 503, f"503 instead of {full.readiness()}", 90)
                    run.note(f"a full disk: /readyz says {full.readiness()[1].strip()!r}")
                    expect("disk" in full.readiness()[1].lower(), f"/readyz says {full.readiness()[1]!r}")

                with run.check("... another one does the work"):
                    before = started(full)
                    digests = [run.action(client, f"echo {number} {seconds(0)}") for number in range(20)]
                    for outcome in all_of(client, digests):
                        expect(outcome.succeeded, str(outcome))
                    expect_equal(started(full), before, "actions started where the disk is full")
                    expect(full.running(), f"the worker has ended:\n{tail(full.log())}")

            with run.check("... there is room again: it is back", needed=True):
                os.remove(filling)
                wait_until(full.ready, f"200 instead of {full.readiness()}", 90)
            works(run, client, "... and does the work that there is")


@contextlib.contextmanager
def small_disk(directory):
    mounted = call(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", directory])
    if mounted.code != 0:
        raise Failed(f"cannot mount a small disk, for which root is needed:\n{tail(mounted.output)}")
    try:
        yield directory
    finally:
        call(["umount", "--lazy", directory])


def fill(path):
    """Until there is nothing left."""
    with open(path, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
