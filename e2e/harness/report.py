"""What passed and what failed, printed as it happens. Does not know what is checked."""

import contextlib
import re
import time
import traceback


_STACK_FRAME = re.compile(r"\s+(at [\w.$/]+\(|at [\w.$/]+<|\.\.\. \d+ more)")


class Failed(Exception):
    """A check that did not hold; its text says what was expected and what was seen."""


class Abandoned(Exception):
    """A check failed that the rest of its scenario builds on."""


def expect(condition, message):
    """Fails the check that is running, unless `condition` holds."""
    if not condition:
        raise Failed(message)


def expect_in(needle, text):
    expect(needle in text, f"expected {needle!r} in:\n{tail(text)}")


def expect_equal(actual, expected, what):
    expect(actual == expected, f"{what}: expected {expected!r}, got {actual!r}")


def tail(text, lines=40):
    """The end of an output, indented and without Java's stack frames: what a reader of a failed check needs first."""
    kept = [line for line in text.rstrip().splitlines() if not _STACK_FRAME.match(line)][-lines:]
    return "\n".join("    " + line for line in kept)


class Report:
    """Runs checks; one that fails does not keep the others from running."""

    def __init__(self):
        self.passed = []
        self.failed = []

    @contextlib.contextmanager
    def check(self, name, needed=False):
        """Runs a check; the scenario ends if it fails and is `needed` by those after it."""
        start = time.monotonic()
        try:
            yield
        except Failed as failure:
            self._fail(f"{name} ({time.monotonic() - start:.1f} s)", str(failure))
            if needed:
                raise Abandoned from None
        else:
            self.passed.append(name)
            print(f"PASS {name} ({time.monotonic() - start:.1f} s)", flush=True)

    @contextlib.contextmanager
    def guard(self, name):
        """Around a whole scenario: what goes wrong outside of its checks is a failure too, and others go on."""
        try:
            yield
        except Abandoned:
            print(f"     the rest of {name} is left out", flush=True)
        except Failed as failure:
            self._fail(name, str(failure))
        except Exception:  # a fault of the scenario itself
            self._fail(name, traceback.format_exc())

    def _fail(self, name, text):
        self.failed.append(name)
        print(f"FAIL {name}", flush=True)
        print(tail(text, 80), flush=True)

    def summary(self):
        lines = [f"{len(self.passed)} passed, {len(self.failed)} failed"]
        lines += [f"FAIL {name}" for name in self.failed]
        return "\n".join(lines)
