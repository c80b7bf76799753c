"""A `crosswheel worker` of our own, taking its work from an engine."""

import os
import tempfile

from engines.programs import Program
from harness.monitoring import Monitored
from harness.server import free_port


class Worker(Monitored, Program):
    """Runs from `with` to its end. A restarted one keeps its name, its ports and its store."""

    def __init__(self, binary, directory, engine, name, pools, store=None, flags=()):
        self.directory = tempfile.mkdtemp(prefix=f"worker-{name}-", dir=directory)
        self.store = store or os.path.join(self.directory, "store")
        self.http_port = free_port()
        command = [
            binary,
            "worker",
            f"--engine={engine.name}",
            f"--scheduler={engine.scheduler_url}",
            f"--cas={engine.cas_url}",
            f"--store={self.store}",
            f"--http-listen=127.0.0.1:{self.http_port}",
            *[f"--pool={pool}" for pool in pools],
            *flags,
        ]
        log = os.path.join(self.directory, "worker.log")
        super().__init__(f"the worker {name}", command, log, self.ready)
