"""A PostgreSQL of our own: new, on loopback, and gone with its directory."""

import glob
import os
import shutil
import signal

from engines.kept import call
from engines.programs import Program, which
from harness.processes import run
from harness.server import free_port

USER = "postgres"


class PostgreSQL:
    """Runs from `with` to its end. Nothing in it is worth a flush."""

    def __init__(self, directory):
        self._directory = os.path.join(directory, "postgresql")
        self._data = os.path.join(self._directory, "data")
        self.port = free_port()
        settings = ["fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1", f"port={self.port}"]
        command = _as_user([_program("postgres"), "-D", self._data, *[f"-c{setting}" for setting in settings]])
        log = os.path.join(directory, "postgresql.log")
        self._server = Program("PostgreSQL", command, log, self._accepts, cwd="/")

    def __enter__(self):
        os.makedirs(self._directory, mode=0o700)
        if os.getuid() == 0:
            shutil.chown(self._directory, USER)
        settings = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        call(_as_user([_program("initdb"), "-D", self._data, *settings]), cwd="/")
        self._server.start()
        return self

    def __exit__(self, *_):
        # Without waiting for whoever is still connected.
        self._server.stop(signal.SIGINT)

    @property
    def url(self):
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def _accepts(self):
        server = ["--host=127.0.0.1", f"--port={self.port}", f"--username={USER}"]
        return run([_program("pg_isready"), *server, "--quiet"]).code == 0


def _as_user(command):
    """It refuses to be root."""
    if os.getuid() != 0:
        return command
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command]


def _program(name):
    """Debian keeps its servers, by version, where no PATH leads."""
    found = which(*sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True), name)
    if found is None:
        raise SystemExit(f"{name} is missing; run with --install, or: apt-get install postgresql")
    return found
