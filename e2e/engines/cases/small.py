"""Many actions at once, each of which hardly takes any time."""

import collections
import concurrent.futures
import itertools

from harness.report import expect, expect_equal

COUNT = 300
WORKERS, SLOTS = 2, 2

# As many as a client with a few cores has under way; an engine may have a thread for each.
AT_ONCE = 20


def small_actions(run):
    with run.client() as client, run.worker("first", slots=SLOTS) as first, run.worker("second", slots=SLOTS) as second:
        scripts = [f"echo output {number} > out; echo log {number}; sleep 0.05" for number in range(COUNT)]
        digests = [run.action(client, script, outputs=["out"]) for script in scripts]

        with run.check(f"{COUNT} small actions: each has its own output", needed=True):
            outcomes = all_of(client, digests)
            for number, outcome in enumerate(outcomes):
                expect(outcome.succeeded, f"action {number}: {outcome}")
                expect_equal(client.printed(outcome), f"log {number}\n", f"what action {number} printed")
                (output,) = outcome.result.output_files
                content = output.contents or client.read(output.digest)
                expect_equal(content, f"output {number}\n".encode(), f"the output of action {number}")

        with run.check("... has run once, on one of the slots there are"):
            expect_equal(started(first, second), COUNT, "actions started")
            share = collections.Counter(outcome.worker for outcome in outcomes)
            run.note(f"{COUNT} small actions: {most_at_once(outcomes)} at once, on {dict(share)}")
            expect_equal(most_at_once(outcomes), WORKERS * SLOTS, "actions at once")
            for worker in (first, second):
                expect(started(worker) > COUNT / 10, f"{worker.name} ran {started(worker):.0f} of {COUNT}")

        with run.check("... is in the action cache"):
            for number, (digest, outcome) in enumerate(zip(digests, outcomes)):
                known = client.cached(digest)
                expect(known is not None, f"action {number} is not in the action cache")
                expect_equal(essence(known), essence(outcome.result), f"what the action cache has of action {number}")

        if run.engine.looks_up:
            with run.check("... asked for again: does not run again"):
                for number, outcome in enumerate(all_of(client, digests[:AT_ONCE])):
                    expect(outcome.succeeded, f"action {number}, again: {outcome}")
                    expect_equal(client.printed(outcome), f"log {number}\n", f"what action {number} printed")
                expect_equal(started(first, second), COUNT, "actions started")


def all_of(client, digests):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda digest: client.execute(digest).wait(), digests))


def essence(result):
    """What a result says, however much of it is inline."""
    files = [(file.path, file.digest.hash) for file in result.output_files]
    return files, result.exit_code, result.execution_metadata.worker


def started(*workers):
    return sum(worker.figure("actions_started_total") for worker in workers)


def most_at_once(outcomes):
    """How many ran at the same time, as the workers noted."""
    changes = []
    for outcome in outcomes:
        metadata = outcome.result.execution_metadata
        changes.append((metadata.execution_start_timestamp.ToNanoseconds(), 1))
        changes.append((metadata.execution_completed_timestamp.ToNanoseconds(), -1))
    # At the same nanosecond, one ends before another begins.
    return max(itertools.accumulate(change for _, change in sorted(changes)))
