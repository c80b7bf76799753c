"""Actions that do not end well."""

import grpc

from engines.cases.stops import works
from engines.client import digest_of
from engines.messages import remote_execution
from engines.runs import seconds
from harness.processes import wait_until
from harness.report import Failed, expect, expect_equal, expect_in

# One in the foreground, one in the background, one in a session of its own that nobody waits for.
_FAMILY = "setsid sleep {2} & sleep {1} & sleep {0}; echo slept > out"


def cancelled(run):
    if not run.engine.cancels:
        run.note("this engine ends nothing that has begun")
        return
    with run.client() as client, run.worker("only"):
        sleeps = [seconds(900) for _ in range(3)]
        digest = run.action(client, _FAMILY.format(*sleeps))
        with run.check("cancelled: the client is told, and no process is left"):
            execution = client.execute(digest)
            for sleep in sleeps:
                run.runs.wait_for(sleep)
            run.engine.cancel(client, execution)
            outcome = execution.wait(30)
            expect_equal(outcome.code, _number(grpc.StatusCode.CANCELLED), f"code of {outcome}")
            run.runs.wait_for_none(*sleeps, patience=30)
            expect(client.cached(digest) is None, "it is in the action cache")

        works(run, client, "... and the worker is free")


def timed_out(run):
    with run.client() as client, run.worker("only"):
        sleeps = [seconds(900) for _ in range(3)]
        digest = run.action(client, f"echo before; {_FAMILY.format(*sleeps)}", timeout=2)
        with run.check("a timeout: DEADLINE_EXCEEDED with what was printed until then, and no process is left"):
            outcome = client.execute(digest).wait(60)
            expect_equal(outcome.code, _number(grpc.StatusCode.DEADLINE_EXCEEDED), f"code of {outcome}")
            expect_equal(client.printed(outcome), "before\n", "what was printed")
            run.runs.wait_for_none(*sleeps)
            expect(client.cached(digest) is None, "it is in the action cache")


def lost_input(run):
    with run.client() as client, run.worker("only") as worker:
        content = f"never uploaded {seconds(0)}".encode()
        digest = run.action(client, "cat lost", missing={"lost": content})
        with run.check("an input that is not in the store: FAILED_PRECONDITION, with its digest"):
            outcome = client.execute(digest).wait(60)
            expect_equal(outcome.code, _number(grpc.StatusCode.FAILED_PRECONDITION), f"code of {outcome}")
            lost = digest_of(content)
            if run.engine.passes_details:
                expect_in(f"blobs/{lost.hash}/{lost.size_bytes}", " ".join(str(one.value) for one in outcome.details))
            expect(client.cached(digest) is None, "it is in the action cache")

        with run.check("... and once it is there, it is used"):
            client.upload(content)
            outcome = client.execute(digest).wait(60)
            expect(outcome.succeeded, str(outcome))
            expect_equal(client.printed(outcome).encode(), content, "what was printed")


def nobody_has(run):
    with run.client() as client, run.worker("only"):
        run.engine.check_what_no_worker_has(run, client)


def refused(run, client, what, code, message, **platform):
    """A check that an action with this platform is refused, and why."""
    with run.check(f"asked for {what}: {code.name}"):
        outcome = client.execute(client.action("/bin/true", platform=platform)).wait(60)
        expect_equal(outcome.code, _number(code), f"code of {outcome}")
        expect_in(message, outcome.message)


def waits(run, client, what, **platform):
    """A check that an action with this platform waits, for as long as anybody looked."""
    with run.check(f"asked for {what}: waits for a worker that has it"):
        sleep = seconds(0)
        execution = client.execute(client.action("/bin/sleep", sleep, platform=platform))
        wait_until(lambda: execution.told(remote_execution.ExecutionStage.QUEUED), "the action to be queued")
        try:
            if _ends(execution):
                raise Failed(f"it ended: {execution.wait()}")
            expect_equal(run.runs.count(sleep), 0, "runs")
        finally:
            if run.engine.cancels:
                run.engine.cancel(client, execution)
            execution.leave()


def _ends(execution, patience=4):
    try:
        wait_until(execution.ended, "its end", patience)
    except Failed:
        return False
    return True


def _number(code):
    return code.value[0]
