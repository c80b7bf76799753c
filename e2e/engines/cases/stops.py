"""What becomes of actions when those around them end, with a word or without."""

import concurrent.futures
import signal
import time

from engines.runs import seconds
from harness.processes import wait_until
from harness.report import expect, expect_equal

# What follows a `sleep`: it must not replace the shell, and the result must be this run's.
_REST = "; echo slept > out"


def killed_worker(run):
    """kill -9, and the same worker is started again."""
    with run.client() as client, run.worker("only") as worker:
        sleep = seconds(3)
        digest = run.action(client, f"sleep {sleep}{_REST}", outputs=["out"])
        with run.check("kill -9 of a worker: what it ran is gone", needed=True):
            execution = client.execute(digest)
            run.runs.wait_for(sleep)
            worker.kill()
            run.runs.wait_for_none(sleep)

        with run.check("... and runs again, once, when the same worker is there again; the client notices nothing"):
            worker.start()
            outcome = execution.wait()
            expect(outcome.succeeded, str(outcome))
            expect_equal(run.runs.count(sleep), 2, "runs")
            expect(client.cached(digest) is not None, "it is not in the action cache")

        works(run, client, "... and the worker takes other work")


def vanished_worker(run):
    """kill -9, and it stays away."""
    with run.client() as client, run.worker("vanishing") as worker:
        sleep = seconds(3)
        digest = run.action(client, f"sleep {sleep}{_REST}", outputs=["out"])
        whom = "the engine gives" if run.engine.reschedules else "the client asks again, which gives"
        with run.check(f"a worker that vanishes: {whom} its action to another one"):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                insisting = pool.submit(client.insist, digest, 240)
                run.runs.wait_for(sleep)
                worker.kill()
                with run.worker("another"):
                    outcome, asked = insisting.result()
            expect(outcome.succeeded, str(outcome))
            expect_equal(run.runs.count(sleep), 2, "runs")
            expect_equal(asked, 1 if run.engine.reschedules else 2, "how often it was asked for")


def restarted_scheduler(run):
    with run.client() as client, run.worker("only") as worker:
        sleep = seconds(6)
        digest = run.action(client, f"sleep {sleep}{_REST}", outputs=["out"])
        with run.check("the scheduler is restarted in mid-action: the client has a result, and nothing ran needlessly"):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                insisting = pool.submit(client.insist, digest)
                run.runs.wait_for(sleep)
                begin = time.monotonic()
                run.engine.restart_scheduler()
                run.note(f"the scheduler was away for {time.monotonic() - begin:.1f} s")
                outcome, asked = insisting.result()
            expect(outcome.succeeded, str(outcome))
            count = run.runs.count(sleep)
            run.note(f"scheduler restarted: asked for {asked} times, run {count} times")
            expect(count <= asked, f"asked for {asked} times, run {count} times")
            if run.engine.persistent:
                expect_equal((asked, count), (1, 1), "how often it was asked for, and run")
            run.runs.wait_for_none(sleep)
            expect(client.cached(digest) is not None, "it is not in the action cache")
            expect(worker.running(), f"the worker has ended:\n{worker.log()}")

        works(run, client, "... and the worker takes other work")


def drained_worker(run):
    """SIGTERM, while there is more to do than it can take."""
    leaving, staying = (run.worker(name, slots=2, flags=[f"--name={name}"]) for name in ("leaving", "staying"))
    with run.client() as client, leaving, staying:
        sleeps = [seconds(1) for _ in range(12)]
        digests = [run.action(client, f"sleep {sleep}{_REST}", outputs=["out"]) for sleep in sleeps]
        with run.check("SIGTERM under load: the worker ends what it runs, takes nothing more, and exits with 0"):
            executions = [client.execute(digest) for digest in digests]
            wait_until(lambda: len(run.runs.running(*sleeps)) == 4, "four actions to run")
            leaving.send(signal.SIGTERM)
            told = time.time()
            expect_equal(leaving.wait(), 0, "exit code")

        with run.check("... every action has a result, and has run once"):
            outcomes = [execution.wait() for execution in executions]
            for sleep, outcome in zip(sleeps, outcomes):
                expect(outcome.succeeded, f"sleep {sleep}: {outcome}")
                expect_equal(run.runs.count(sleep), 1, f"runs of sleep {sleep}")
            left = [outcome for outcome in outcomes if outcome.worker.startswith("leaving/")]
            run.note(f"{len(left)} of {len(sleeps)} on the worker that leaves")
            for outcome in left:
                late = outcome.result.execution_metadata.execution_start_timestamp.ToNanoseconds() / 1e9 - told
                # What was on its way to it may still come.
                expect(late < 1, f"it began an action {late:.1f} s after the signal")


def works(run, client, name):
    """The engine and a worker are well."""
    with run.check(name):
        # Another action each time, which no cache knows.
        outcome, _ = client.insist(run.action(client, f"echo {seconds(0)}"), 60)
        expect(outcome.succeeded, str(outcome))
