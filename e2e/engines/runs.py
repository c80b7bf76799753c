"""Which actions run, and how often each has run, as the process table of this machine has it: no engine is asked.

An action is known by an argument that no other has: `sleep 2.0073461`.
"""

import contextlib
import os
import random
import signal
import threading

from harness.processes import wait_until


# What was given out so far: others sleep, too.
_OURS = set()


def seconds(about):
    """So many seconds and a little, as nobody else sleeps."""
    argument = f"{about}.0{random.randrange(10**6, 10**7)}"
    _OURS.add(argument)
    return argument


class Runs:
    """Watches from `with` to its end. What runs for less than a tenth of a second may be missed."""

    def __init__(self):
        self._seen = {}  # argument of a `sleep` -> {(process id, start time): whether it is there now}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def count(self, argument):
        """How often it was started."""
        with self._lock:
            return len(self._seen.get(argument, {}))

    def running(self, *arguments):
        """Process ids of all that run now with one of these."""
        with self._lock:
            return [
                process
                for argument in arguments
                for (process, _), there in self._seen.get(argument, {}).items()
                if there
            ]

    def wait_for(self, *arguments, patience=60):
        """Until one of them runs."""
        wait_until(lambda: self.running(*arguments), f"an action that sleeps {' or '.join(arguments)} s", patience)

    def wait_for_none(self, *arguments, patience=60):
        wait_until(lambda: not self.running(*arguments), f"the processes {self.running(*arguments)} to end", patience)

    def end(self):
        """Kills what this run's actions have left; a check that wanted it gone has said so already."""
        with self._lock:
            arguments = list(self._seen)
        for process in self.running(*arguments):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _watch(self):
        while not self._over.wait(0.05):
            self._look()

    def _look(self):
        there = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (found := _sleeper(entry)):
                argument, start = found
                there.setdefault(argument, set()).add((int(entry), start))
        with self._lock:
            for argument, processes in self._seen.items():
                for process in processes:
                    processes[process] = process in there.get(argument, ())
            for argument, processes in there.items():
                self._seen.setdefault(argument, {}).update(dict.fromkeys(processes, True))


def _sleeper(process):
    """What this process's argument and start time are, if it is a `sleep` of ours."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            program, _, argument = file.read().rstrip(b"\0").partition(b"\0")
        if not program.endswith(b"sleep") or argument.decode(errors="replace") not in _OURS:
            return None
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            state, *_, start = file.read().rsplit(") ", 1)[1].split()[:20]
    except OSError:
        return None  # it ended meanwhile
    return None if state == "Z" else (argument.decode(), start)
