"""Programs that run for as long as a `with`: started with a log of their own, asked to end, and made to."""

import os
import signal
import socket
import subprocess

from harness.processes import end, wait_until
from harness.report import Failed, tail


class Program:
    """One process and its log. One that is started again adds to the same log.

    `ready()` says whether it does what it is there for; `settings` go to Popen.
    """

    def __init__(self, name, command, log_path, ready, patience=120, **settings):
        self.name = name
        self.command = command
        self.log_path = log_path
        self._ready = ready
        self._patience = patience
        self._settings = settings
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process is not None and self._process.poll() is None

    def launch(self):
        """Starts it and does not wait until it is ready."""
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._settings
            )

    def start(self):
        self.launch()
        try:
            wait_until(lambda: not self.running() or self._ready(), f"{self.name} to be ready", self._patience)
        except Failed as failure:
            self.kill()
            raise Failed(f"{failure}; its log:\n{tail(self.log())}") from None
        if not self.running():
            code = self._process.returncode
            raise Failed(f"{' '.join(self.command)} ended with {code}:\n{tail(self.log())}")

    def send(self, number):
        self._process.send_signal(number)

    def kill(self):
        """Ends it as a power cut would."""
        end(self._process, self.name)

    def wait(self, patience=60):
        """Waits until it ends by itself; its exit code."""
        try:
            return self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"waited {patience} s for the end of {self.name}; its log:\n{tail(self.log())}") from None

    def stop(self, number=signal.SIGTERM, patience=60):
        """Asks it to end, and insists if it does not."""
        if not self.running():
            return
        self.send(number)
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not end on {number!r}; its log:\n{tail(self.log())}") from None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


def listening(port):
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def which(*names):
    """The first of these programs that is there; a name may be a path."""
    for name in names:
        for directory in [""] if "/" in name else os.environ.get("PATH", os.defpath).split(":"):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return None
