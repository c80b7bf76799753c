"""Stands for NativeLink's scheduler where there is no NativeLink: what it says to workers and to clients, as seen of
1.6.6, and with the same faults. Everything is in memory; blobs are somebody else's.

Not here: retries by time, merging of identical actions, and what the cases do not touch.
"""

import argparse
import concurrent.futures
import logging
import os
import queue
import signal
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import grpc  # noqa: E402

from engines import messages  # noqa: E402
from engines.messages import operations, remote_execution, remote_execution_calls  # noqa: E402

worker_api, worker_api_calls = grpc.protos_and_services(
    "com/github/trace_machina/nativelink/remote_execution/worker_api.proto"
)
semver, _ = grpc.protos_and_services("build/bazel/semver/semver.proto")

# Workers are asked to send a word every 2.5 s, and given up after twice as long.
SILENCE_SECONDS = 5
# One and three more.
ATTEMPTS = 4
# The properties that select workers; others count for nothing.
REGISTERED = {"Arch", "OSFamily"}

_Stage = remote_execution.ExecutionStage
_RESULT_TIMES = [
    "queued_timestamp",
    "worker_start_timestamp",
    "worker_completed_timestamp",
    "input_fetch_start_timestamp",
    "input_fetch_completed_timestamp",
    "execution_start_timestamp",
    "execution_completed_timestamp",
    "output_upload_start_timestamp",
    "output_upload_completed_timestamp",
]

log = logging.getLogger("stand-in")


class Operation:
    """One request to execute, until it is done."""

    def __init__(self, request, platform):
        self.id = str(uuid.uuid4())
        self.request = request
        self.platform = platform
        self.stage = _Stage.QUEUED
        self.attempts = 0
        self.response = None  # once it is done

    def message(self):
        told = operations.Operation(name=self.id, done=self.response is not None)
        told.metadata.Pack(
            remote_execution.ExecuteOperationMetadata(stage=self.stage, action_digest=self.request.action_digest)
        )
        if self.response is not None:
            told.response.Pack(self.response)
        return told


class Worker:
    """One connection of a worker."""

    def __init__(self, request):
        self.id = request.worker_id_prefix + str(uuid.uuid4())
        self.properties = {(one.name, one.value) for one in request.properties}
        self.slots = request.max_inflight_tasks or sys.maxsize
        self.has = {}  # operations, by id, of which no result came
        self.busy = set()  # ids of those that take a slot
        self.heard = time.monotonic()
        self.last_given = 0.0
        self.outbox = queue.Queue()  # of UpdateForWorker; None ends the stream

    def takes(self, operation):
        wanted = {(name, value) for name, value in operation.platform if name in REGISTERED}
        return len(self.busy) < self.slots and wanted <= self.properties


class Scheduler:
    """What waits, and who works on what: under one lock, which is let go to whoever waits for a change."""

    def __init__(self):
        self._changed = threading.Condition()
        self._operations = {}
        self._queue = []
        self._workers = {}

    # Clients

    def submit(self, request, platform):
        with self._changed:
            operation = Operation(request, platform)
            self._operations[operation.id] = operation
            self._queue.append(operation)
            self._assign()
            return operation

    def find(self, name):
        with self._changed:
            return self._operations.get(name)

    def follow(self, operation, gone):
        """Every stage of the operation that is new, until its end or until the client is `gone`."""
        told = None
        while not gone():
            with self._changed:
                self._changed.wait_for(lambda: operation.stage != told, timeout=0.5)
                if operation.stage == told:
                    continue
                told, message = operation.stage, operation.message()
            yield message
            if message.done:
                return

    # Workers

    def connect(self, worker):
        with self._changed:
            self._workers[worker.id] = worker
            worker.outbox.put(_update(connection_result=worker_api.ConnectionResult(worker_id=worker.id)))
            self._assign()

    def disconnect(self, worker):
        """Whatever it had is given to others at once."""
        with self._changed:
            if self._workers.pop(worker.id, None) is None:
                return
            for operation in worker.has.values():
                log.warning("%s left %s behind", worker.id, operation.id)
                operation.stage = _Stage.QUEUED
                self._queue.insert(0, operation)
            worker.has.clear()
            self._assign()

    def hear(self, worker, update):
        kind = update.WhichOneof("update")
        with self._changed:
            if kind == "keep_alive_request":
                # Nothing else counts as a sign of life.
                worker.heard = time.monotonic()
            elif kind == "going_away_request":
                worker.outbox.put(None)
            elif kind == "execute_complete":
                worker.busy.discard(update.execute_complete.operation_id)
                self._assign()
            elif kind == "execute_result":
                self._result(worker, update.execute_result)

    def _result(self, worker, result):
        operation = worker.has.get(result.operation_id)
        if operation is None:
            log.warning("%s has no operation %s", worker.id, result.operation_id)
            return
        if result.WhichOneof("result") == "internal_error":
            self._attempt_failed(operation, result.internal_error)
        elif lacks := _lacks(result.execute_response):
            # Nobody is told, and the action runs on for ever.
            log.warning("a result of %s is dropped, for it lacks %s", operation.id, lacks)
            return
        else:
            response = remote_execution.ExecuteResponse()
            response.CopyFrom(result.execute_response)
            response.status.ClearField("details")
            self._end(operation, response)
        del worker.has[operation.id]
        worker.busy.discard(operation.id)
        self._assign()

    def _attempt_failed(self, operation, status):
        if operation.attempts < ATTEMPTS:
            log.warning("attempt %s at %s failed: %s", operation.attempts, operation.id, status.message)
            operation.stage = _Stage.QUEUED
            self._queue.append(operation)
            return
        response = remote_execution.ExecuteResponse()
        response.status.code, response.status.message = status.code, status.message
        self._end(operation, response)

    def _end(self, operation, response):
        operation.response, operation.stage = response, _Stage.COMPLETED
        self._changed.notify_all()

    def _assign(self):
        """Gives what waits to those that can take it, to the one first that was given something least recently."""
        for operation in list(self._queue):
            able = [worker for worker in self._workers.values() if worker.takes(operation)]
            if able:
                self._queue.remove(operation)
                self._give(operation, min(able, key=lambda worker: worker.last_given))
        self._changed.notify_all()

    def _give(self, operation, worker):
        operation.stage = _Stage.EXECUTING
        operation.attempts += 1
        worker.has[operation.id] = operation
        worker.busy.add(operation.id)
        worker.last_given = time.monotonic()
        start = worker_api.StartExecute(
            execute_request=operation.request, operation_id=operation.id, worker_id=worker.id
        )
        start.queued_timestamp.GetCurrentTime()
        for name, value in operation.platform:
            start.platform.properties.add(name=name, value=value)
        worker.outbox.put(_update(start_action=start))


def _lacks(response):
    """What an execute_response does not have and must."""
    if response.status.code:
        return ""
    result = response.result
    for field in ("stdout_digest", "stderr_digest", "execution_metadata"):
        if not result.HasField(field):
            return field
    return next((field for field in _RESULT_TIMES if not result.execution_metadata.HasField(field)), "")


def _update(**fields):
    return worker_api.UpdateForWorker(**fields)


class WorkerApi:
    """The calls of workers."""

    def __init__(self, scheduler):
        self._scheduler = scheduler

    def ConnectWorker(self, updates, context):  # noqa: N802
        first = next(updates)
        if first.WhichOneof("update") != "connect_worker_request":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "expected a ConnectWorkerRequest first")
        worker = Worker(first.connect_worker_request)
        self._scheduler.connect(worker)
        log.info("%s connected with %s", worker.id, sorted(worker.properties))
        threading.Thread(target=self._listen, args=(worker, updates), daemon=True).start()
        try:
            yield from self._speak(worker, context)
        finally:
            self._scheduler.disconnect(worker)
            log.info("%s is gone", worker.id)

    def _listen(self, worker, updates):
        try:
            for update in updates:
                self._scheduler.hear(worker, update)
        except grpc.RpcError:
            pass
        worker.outbox.put(None)

    def _speak(self, worker, context):
        while context.is_active():
            try:
                update = worker.outbox.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() - worker.heard < SILENCE_SECONDS:
                    continue
                log.warning("nothing was heard of %s", worker.id)
                update = None
            if update is None:
                yield _update(disconnect=messages.empty.Empty())
                return
            yield update


class Execution:
    """The calls of clients."""

    def __init__(self, scheduler, cas):
        self._scheduler = scheduler
        self._cas = remote_execution_calls.ContentAddressableStorageStub(grpc.insecure_channel(cas))

    def Execute(self, request, context):  # noqa: N802
        platform = self._platform(request, context)
        operation = self._scheduler.submit(request, platform)
        yield from self._scheduler.follow(operation, lambda: not context.is_active())

    def WaitExecution(self, request, context):  # noqa: N802
        operation = self._scheduler.find(request.name)
        if operation is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no operation {request.name}")
        yield from self._scheduler.follow(operation, lambda: not context.is_active())

    def _platform(self, request, context):
        """Of the action, else of the command."""
        action = remote_execution.Action()
        action.ParseFromString(self._read(request, request.action_digest, context))
        command = remote_execution.Command()
        command.ParseFromString(self._read(request, action.command_digest, context))
        platform = action.platform if action.platform.properties else command.platform
        return [(one.name, one.value) for one in platform.properties]

    def _read(self, request, digest, context):
        wanted = remote_execution.BatchReadBlobsRequest(instance_name=request.instance_name, digests=[digest])
        (found,) = self._cas.BatchReadBlobs(wanted, timeout=60).responses
        if found.status.code:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, found.status.message)
        return found.data


class Capabilities:
    def GetCapabilities(self, _request, _context):  # noqa: N802
        sha256 = remote_execution.DigestFunction.SHA256
        return remote_execution.ServerCapabilities(
            cache_capabilities=remote_execution.CacheCapabilities(digest_functions=[sha256]),
            execution_capabilities=remote_execution.ExecutionCapabilities(
                digest_function=sha256, digest_functions=[sha256], exec_enabled=True
            ),
            low_api_version=semver.SemVer(major=2),
            high_api_version=semver.SemVer(major=2, minor=3),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", required=True, help="port for clients")
    parser.add_argument("--workers", required=True, help="port for workers")
    parser.add_argument("--cas", required=True, help="HOST:PORT of who keeps the blobs")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    scheduler = Scheduler()
    for_clients, for_workers = _server(), _server()
    remote_execution_calls.add_ExecutionServicer_to_server(Execution(scheduler, options.cas), for_clients)
    remote_execution_calls.add_CapabilitiesServicer_to_server(Capabilities(), for_clients)
    worker_api_calls.add_WorkerApiServicer_to_server(WorkerApi(scheduler), for_workers)
    for server, port in ((for_clients, options.clients), (for_workers, options.workers)):
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
    # The calls that wait are not waited for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for_clients.wait_for_termination()


def _server():
    # Every call that waits takes a thread.
    return grpc.server(concurrent.futures.ThreadPoolExecutor(200))


if __name__ == "__main__":
    main()
