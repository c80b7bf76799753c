"""A `crosswheel serve` of our own: started on a free port with a store in a temporary directory, and always ended."""

import os
import signal
import socket
import subprocess
import tempfile

from harness.monitoring import Monitored
from harness.processes import end, wait_until
from harness.report import Failed, tail


class Server(Monitored):
    """The server, running from `with` to its end. A restarted one keeps its ports and its store."""

    def __init__(self, binary, directory, store=None, flags=()):
        self.binary = binary
        self.directory = tempfile.mkdtemp(prefix="server-", dir=directory)
        self.store = store or os.path.join(self.directory, "store")
        self.flags = list(flags)
        self.port, self.http_port = free_port(), free_port()
        self.log_path = os.path.join(self.directory, "server.log")
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def grpc_address(self):
        return f"grpc://127.0.0.1:{self.port}"

    @property
    def host_and_port(self):
        return f"127.0.0.1:{self.port}"

    @property
    def http2_address(self):
        """The gRPC address, as BuildBox spells it."""
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [
            self.binary,
            "serve",
            f"--listen=127.0.0.1:{self.port}",
            f"--http-listen=127.0.0.1:{self.http_port}",
            f"--store={self.store}",
            # Clients that build on their own machine fill the cache with what they have built.
            "--update-action-result=on",
            *self.flags,
        ]
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._ready_or_dead, f"the server to be ready; its log:\n{tail(self.log())}")
        if self._process.poll() is not None:
            raise Failed(f"{' '.join(command)} ended with {self._process.returncode}:\n{tail(self.log())}")

    def _ready_or_dead(self):
        if self._process.poll() is not None:
            return True
        return self.ready()

    def kill(self):
        """Ends it as a power cut would: SIGKILL, nothing flushed, nothing said."""
        end(self._process, "the server")

    def stop(self):
        """Asks it to end, and insists if it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"the server did not end on SIGTERM; its log:\n{tail(self.log())}") from None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def blob_path(self, sha256):
        """Where the store keeps a blob: Bazel's own layout of a disk cache."""
        return os.path.join(self.store, "cas", sha256[:2], sha256)

    def blobs(self):
        """Paths of all blobs in the store."""
        return [
            os.path.join(directory, name)
            for directory, _, names in os.walk(os.path.join(self.store, "cas"))
            for name in names
        ]


def free_port():
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
