"""BuildGrid: one server for everything, jobs and sessions of bots in PostgreSQL."""

import contextlib
import hashlib
import os
import shutil

import grpc

from engines import kept
from engines.buildgrid.postgresql import PostgreSQL
from engines.cases.ends import refused, waits
from engines.engine import Engine
from engines.programs import Program, listening
from harness import sid
from harness.place import on_this_machine
from harness.report import expect, tail
from harness.server import free_port

_REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements.txt")
# The oldest Python 3 that it runs on.
PYTHON = 13

# A bot that says nothing for so long is given up; a bot without work hears of it within 0.8 of this at most.
KEEPALIVE_SECONDS = 10

# More clients at once wait for each other: an execution that is being followed takes a thread.
THREADS = 60

_CONFIGURATION = """
server:
  - !channel
    address: 127.0.0.1:{port}
    insecure-mode: true
authorization:
  method: none
connections:
  - !sql-connection &sql
    connection-string: {database}
storages:
  - !disk-storage &cas
    path: {directory}/cas
caches:
  - !lru-action-cache &cache
    storage: *cas
    max-cached-refs: 10000
    allow-updates: true
    cache-failed-actions: false
schedulers:
  - !sql-scheduler &scheduler
    sql: *sql
    storage: *cas
    action-cache: *cache
    property-set: !dynamic-property-set
      match-property-keys: [OSFamily, Arch]
    bot-session-keepalive-timeout: {keepalive}
    assigners:
      - !priority-age-assigner
        count: 1
        interval: 0.1
        jitter-factor: 0.1
        # How long a job is not looked at again when no bot was free: 5 s by default, whatever becomes free meanwhile.
        failure-backoff: 0.2
        priority-assignment-percentage: 100
instances:
  - name: ""
    services:
      - !cas
        storage: *cas
      - !bytestream
        storage: *cas
      - !action-cache
        cache: *cache
      - !execution
        scheduler: *scheduler
thread-pool-size: {threads}
"""

_CALL = "from buildgrid.server.app import cli; cli()"


class BuildGrid(Engine):
    name = "buildgrid"
    persistent = True

    def __init__(self, options, directory):
        self._directory = os.path.join(directory, self.name)
        self._port = free_port()
        self._context = contextlib.ExitStack()
        self._options = options
        self._python = None
        self._server = None

    @property
    def address(self):
        return f"127.0.0.1:{self._port}"

    @property
    def scheduler_url(self):
        return f"grpc://{self.address}"

    def start(self):
        os.makedirs(self._directory)
        self._python = python(self._options, self._directory, self._context)
        database = self._context.enter_context(PostgreSQL(self._directory))
        configuration = os.path.join(self._directory, "configuration.yml")
        with open(configuration, "w", encoding="utf-8") as file:
            values = {"port": self._port, "database": database.url, "directory": self._directory}
            file.write(_CONFIGURATION.format(**values, keepalive=KEEPALIVE_SECONDS, threads=THREADS))
        kept.call(self._bgd("migrate", "apply", database.url))
        log = os.path.join(self._directory, "server.log")
        command = self._bgd("server", "start", configuration)
        self._server = self._context.enter_context(
            Program("BuildGrid", command, log, ready=lambda: listening(self._port))
        )

    def stop(self):
        self._context.close()

    def restart_scheduler(self):
        self._server.kill()
        self._server.start()

    def cancel(self, client, execution):
        client.cancel(execution.name)

    def check_what_no_worker_has(self, run, client):
        unknown = {**run.platform, "Colour": "red"}
        code = grpc.StatusCode.FAILED_PRECONDITION
        refused(run, client, "a property that the scheduler does not know", code, "Colour", **unknown)
        waits(run, client, "a value that nobody has", **{**run.platform, "OSFamily": "linux"})
        with run.check("asked for less than the worker has: runs"):
            outcome = client.execute(client.action("/bin/true", platform={"Arch": run.platform["Arch"]})).wait()
            expect(outcome.succeeded, str(outcome))

    def log(self):
        return f"{self._server.log_path}:\n{tail(self._server.log())}"

    def _bgd(self, *arguments):
        return self._python(["-c", _CALL, *arguments])


def python(options, directory, context):
    """A way to call a Python that has BuildGrid: this machine's, or that of the sid root."""
    found = kept.python_from(PYTHON)
    version = found[1] if found else _version_in_sid(options)
    with open(_REQUIREMENTS, "rb") as file:
        locked = hashlib.sha256(file.read()).hexdigest()[:12]
    name = f"buildgrid-{locked}-python{version}"
    packages = kept.packages(options.kept, name, version, [f"--requirement={_REQUIREMENTS}"])
    program, enter = found[0] if found else "python3", on_this_machine
    if not found:
        # The root shows one directory of this machine.
        seen = os.path.join(directory, "packages")
        shutil.copytree(packages, seen)
        packages, enter = seen, context.enter_context(sid.SidRoot(options.sid_root, directory)).command_in_place
    settings = {"PYTHONPATH": packages, "HOME": directory, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return lambda arguments: enter([program, *arguments], directory, settings)


def _version_in_sid(options):
    sid.ensure(options.sid_root)
    return os.path.basename(os.readlink(f"{options.sid_root}/usr/bin/python3")).removeprefix("python")
