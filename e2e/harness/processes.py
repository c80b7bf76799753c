"""Commands with an end, and processes that are ours to kill. Does not know what they do."""

import dataclasses
import os
import signal
import subprocess
import time

from harness.report import Failed, tail

# Longer than anything here takes on a slow and busy machine; a client that waits for ever must not stop the run.
PATIENCE_SECONDS = 600


@dataclasses.dataclass
class Finished:
    """A command that ended: its exit code, and standard output and error as one text."""

    command: list
    code: int
    output: str
    seconds: float


def run(command, cwd=None, env=None, patience=PATIENCE_SECONDS):
    """Runs a command to its end; one that does not end is killed with all of its group, and the check fails."""
    child = start(command, cwd=cwd, env=env)
    return finish(child, command, patience)


def start(command, cwd=None, env=None):
    """Starts a command in a process group of its own."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(child, command, patience=PATIENCE_SECONDS):
    """Waits for a command that `start` made."""
    begin = time.monotonic()
    try:
        output, _ = child.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output = _rest(child)
        text = output.decode(errors="replace")
        raise Failed(f"did not end within {patience} s: {' '.join(map(str, command))}\n{tail(text)}") from None
    return Finished(command, child.returncode, output.decode(errors="replace"), time.monotonic() - begin)


def _rest(child):
    """What a killed command has written; somebody who has left its group may hold the pipe for ever."""
    try:
        return child.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired as late:
        return late.output or b""


def end(child, what, patience=60):
    """Kills a process and waits for its end."""
    child.kill()
    try:
        child.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        raise Failed(f"waited {patience} s for the end of {what}, which was killed") from None


def wait_until(condition, what, patience=60):
    """Polls until `condition()` is true; the check fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited {patience} s for {what}")
        time.sleep(0.05)


def children(pid):
    """Process ids of the children that this process's first thread started."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def processes_with_argument(argument):
    """Process ids on this machine, other namespaces included, with exactly this among their arguments."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if argument.encode() in arguments:
            found.append(int(entry))
    return found
