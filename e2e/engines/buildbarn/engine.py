"""Buildbarn, as it stands in front of workers: bb_storage is the CAS, the action cache and the front end, and
bb_scheduler has all it knows in memory."""

import json
import os

import grpc

from engines import messages
from engines.buildbarn import programs
from engines.cases.ends import refused
from engines.engine import Engine
from engines.programs import Program, listening
from harness.report import tail
from harness.server import free_port

_ALLOW = {"allow": {}}
_MESSAGE_BYTES = 16 << 20
_MEBIBYTE = 1 << 20

# How long work may wait for workers; also how long a scheduler that was restarted waits before it says that there are
# none. Short, so that nobody has to wait for that answer.
NO_WORKERS_SECONDS = 5


class Buildbarn(Engine):
    name = "buildbarn"
    looks_up = False
    reschedules = False

    def __init__(self, options, directory):
        self._directory = os.path.join(directory, self.name)
        self._kept = options.kept
        self._given = options.buildbarn
        self._ports = {name: free_port() for name in ["storage", "clients", "workers", "state"]}
        self._storage = self._scheduler = None

    @property
    def address(self):
        return _local(self._ports["storage"])

    @property
    def scheduler_url(self):
        return f"grpc://{_local(self._ports['workers'])}"

    def start(self):
        os.makedirs(self._directory)
        directory = self._given or programs.ensure(self._kept)
        self._storage = self._program(directory, "bb_storage", self._storage_configuration(), ["storage"])
        self._scheduler = self._program(
            directory, "bb_scheduler", self._scheduler_configuration(), ["clients", "workers", "state"]
        )
        self._storage.start()
        self._scheduler.start()

    def stop(self):
        for program in (self._scheduler, self._storage):
            if program is not None:
                program.stop()

    def restart_scheduler(self):
        self._scheduler.kill()
        self._scheduler.start()

    def cancel(self, client, execution):
        """A client that goes away ends nothing for a minute; there is a call for the impatient."""
        request = _state.KillOperationsRequest()
        # The front end puts `INSTANCE/operations/` before the scheduler's own names.
        request.filter.operation_name = execution.name.rsplit("/", 1)[-1]
        request.status.code = grpc.StatusCode.CANCELLED.value[0]
        with grpc.insecure_channel(_local(self._ports["state"])) as channel:
            _state_calls.BuildQueueStateStub(channel).KillOperations(request, timeout=60)

    def check_what_no_worker_has(self, run, client):
        wrong = {
            "less than the worker has": {"Arch": run.platform["Arch"]},
            "more than the worker has": {**run.platform, "Colour": "red"},
            "linux instead of Linux": {**run.platform, "OSFamily": "linux"},
        }
        for what, platform in wrong.items():
            refused(run, client, what, grpc.StatusCode.FAILED_PRECONDITION, "No workers exist", **platform)

    def log(self):
        return "\n".join(f"{one.log_path}:\n{tail(one.log())}" for one in (self._storage, self._scheduler))

    def _program(self, directory, name, configuration, ports):
        path = os.path.join(self._directory, f"{name}.jsonnet")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(configuration, file, indent=2)
        return Program(
            name,
            [os.path.join(directory, name), path],
            os.path.join(self._directory, f"{name}.log"),
            ready=lambda: all(listening(self._ports[port]) for port in ports),
        )

    def _storage_configuration(self):
        cas, cache = self._local_backend("cas", 2048, 2), self._local_backend("ac", 64, 1)
        complete = {"backend": cache, "maximumTotalTreeSizeBytes": _MESSAGE_BYTES}
        return {
            "grpcServers": [self._server("storage")],
            "maximumMessageSizeBytes": _MESSAGE_BYTES,
            "schedulers": {"": {"endpoint": {"address": _local(self._ports["clients"])}}},
            "executeAuthorizer": _ALLOW,
            "contentAddressableStorage": {
                "backend": cas,
                "getAuthorizer": _ALLOW,
                "putAuthorizer": _ALLOW,
                "findMissingAuthorizer": _ALLOW,
            },
            "actionCache": {
                "backend": {"completenessChecking": complete},
                "getAuthorizer": _ALLOW,
                "putAuthorizer": _ALLOW,
            },
        }

    def _scheduler_configuration(self):
        return {
            "clientGrpcServers": [self._server("clients")],
            "workerGrpcServers": [self._server("workers")],
            "buildQueueStateGrpcServers": [self._server("state")],
            "browserUrl": "http://browser.invalid/",
            "contentAddressableStorage": {"grpc": self._cas_client()},
            "maximumMessageSizeBytes": _MESSAGE_BYTES,
            "executeAuthorizer": _ALLOW,
            "synchronizeAuthorizer": _ALLOW,
            "modifyDrainsAuthorizer": _ALLOW,
            "killOperationsAuthorizer": _ALLOW,
            "platformQueueWithNoWorkersTimeout": f"{NO_WORKERS_SECONDS}s",
            "actionRouter": {
                "simple": {
                    "platformKeyExtractor": {"action": {}},
                    "invocationKeyExtractors": [{"toolInvocationId": {}}],
                    "initialSizeClassAnalyzer": {
                        "defaultExecutionTimeout": "600s",
                        "maximumExecutionTimeout": "3600s",
                    },
                }
            },
        }

    def _cas_client(self):
        return {"address": self.address}

    def _local_backend(self, name, mebibytes, new_blocks):
        directory = os.path.join(self._directory, name)
        os.makedirs(os.path.join(directory, "state"))
        locations = {"file": {"path": f"{directory}/locations", "sizeBytes": 16 * _MEBIBYTE}}
        blocks = {"file": {"path": f"{directory}/blocks", "sizeBytes": mebibytes * _MEBIBYTE}}
        return {
            "local": {
                "keyLocationMapOnBlockDevice": locations,
                "keyLocationMapMaximumGetAttempts": 16,
                "keyLocationMapMaximumPutAttempts": 64,
                "oldBlocks": 4,
                "currentBlocks": 8,
                "newBlocks": new_blocks,
                "blocksOnBlockDevice": {"source": blocks, "spareBlocks": 2},
                "persistent": {"stateDirectoryPath": f"{directory}/state", "minimumEpochInterval": "300s"},
            }
        }

    def _server(self, name):
        return {"listenAddresses": [_local(self._ports[name])], "authenticationPolicy": _ALLOW}


def _local(port):
    return f"127.0.0.1:{port}"


_state, _state_calls = messages.load(os.path.dirname(os.path.abspath(__file__)), "kill.proto")
