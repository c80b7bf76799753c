"""NativeLink. No registry has its program: a real one is named by --nativelink; without one, `crosswheel serve` keeps
the blobs and stand_in.py schedules."""

import contextlib
import json
import os
import sys

from engines.cases.ends import waits
from engines.engine import Engine
from engines.programs import Program, listening
from harness.report import expect, tail
from harness.server import Server, free_port

_STAND_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stand_in.py")


class NativeLink(Engine):
    name = "nativelink"
    # A client that leaves ends nothing, and there is no call that does.
    cancels = False
    passes_details = False
    looks_up = False

    def __init__(self, options, directory):
        self._directory = os.path.join(directory, self.name)
        self._real = options.nativelink
        self._binary = os.path.abspath(options.crosswheel)
        self._clients, self._workers = free_port(), free_port()
        self._context = contextlib.ExitStack()
        self._program = self._store = None

    @property
    def address(self):
        return f"127.0.0.1:{self._clients}"

    @property
    def cas_address(self):
        return self._store.host_and_port if self._store else self.address

    @property
    def scheduler_url(self):
        return f"grpc://127.0.0.1:{self._workers}"

    def start(self):
        os.makedirs(self._directory)
        log = os.path.join(self._directory, "nativelink.log")
        if not self._real:
            self._store = self._context.enter_context(Server(self._binary, self._directory))
        self._program = self._context.enter_context(
            Program(
                "NativeLink" if self._real else "NativeLink's stand-in",
                self._real_command() if self._real else self._stand_in_command(),
                log,
                ready=lambda: listening(self._clients) and listening(self._workers),
            )
        )

    def stop(self):
        self._context.close()

    def restart_scheduler(self):
        self._program.kill()
        self._program.start()

    def check_what_no_worker_has(self, run, client):
        waits(run, client, "linux instead of Linux", **{**run.platform, "OSFamily": "linux"})
        with run.check("asked for a property that the scheduler does not know: it counts for nothing"):
            outcome = client.execute(client.action("/bin/true", platform={**run.platform, "Colour": "red"})).wait()
            expect(outcome.succeeded, str(outcome))

    def log(self):
        return f"{self._program.log_path}:\n{tail(self._program.log())}"

    def _stand_in_command(self):
        ports = [f"--clients={self._clients}", f"--workers={self._workers}"]
        return [sys.executable, "-B", _STAND_IN, *ports, f"--cas={self._store.host_and_port}"]

    def _real_command(self):
        path = os.path.join(self._directory, "configuration.json5")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self._configuration(), file, indent=2)
        return [self._real, path]

    def _configuration(self):
        blobs = {"content_path": f"{self._directory}/cas", "temp_path": f"{self._directory}/cas-partial"}
        results = {"content_path": f"{self._directory}/ac", "temp_path": f"{self._directory}/ac-partial"}
        of_clients = {
            "cas": {"cas_store": "CAS"},
            "ac": {"ac_store": "AC"},
            "execution": {"cas_store": "CAS", "scheduler": "SCHEDULER"},
            "capabilities": {"remote_execution": {"scheduler": "SCHEDULER"}},
            "bytestream": {"cas_store": "CAS"},
        }
        return {
            "stores": [{"name": "CAS", "filesystem": blobs}, {"name": "AC", "filesystem": results}],
            "schedulers": [
                {
                    "name": "SCHEDULER",
                    "simple": {"supported_platform_properties": {"Arch": "exact", "OSFamily": "exact"}},
                }
            ],
            "servers": [
                {
                    "name": "clients",
                    "listener": {"http": {"socket_address": self.address}},
                    "services": {name: [{"instance_name": "", **value}] for name, value in of_clients.items()},
                },
                {
                    "name": "workers",
                    "listener": {"http": {"socket_address": f"127.0.0.1:{self._workers}"}},
                    "services": {"worker_api": {"scheduler": "SCHEDULER"}},
                },
            ],
        }
