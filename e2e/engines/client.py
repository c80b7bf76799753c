"""A client of the Remote Execution API that says exactly what the cases want said, and remembers all it heard."""

import dataclasses
import hashlib
import threading
import time

import grpc

from engines.messages import operations, operations_calls, remote_execution, remote_execution_calls
from harness.report import Failed, expect

# What a server that restarts, or has lost what it knew, may answer to those who then ask again.
_ASK_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}

_LIMITS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# Every connection of its own, and soon again after the server was away.
_CONNECTION = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 500)]


@dataclasses.dataclass
class Outcome:
    """How an execution ended: with a response, or with an error of the call."""

    code: int  # of the response, or of the call
    message: str
    result: object  # ActionResult; an empty one if there is none
    cached: bool
    details: list  # of the status

    def output(self):
        return self.result.stdout_raw.decode()

    def __str__(self):
        return f"{grpc_name(self.code)} {self.message!r}, exit code {self.result.exit_code}, by {self.worker!r}"

    @property
    def worker(self):
        return self.result.execution_metadata.worker

    @property
    def succeeded(self):
        return self.code == 0 and self.result.exit_code == 0


def grpc_name(number):
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


class Client:
    """Connections to an engine's front end and its store, which may be the same."""

    def __init__(self, address, cas_address, instance=""):
        self.instance = instance
        channel, cas_channel = (
            grpc.insecure_channel(one, options=[*_LIMITS, *_CONNECTION]) for one in (address, cas_address)
        )
        self._channels = channel, cas_channel
        self._cas = remote_execution_calls.ContentAddressableStorageStub(cas_channel)
        self._cache = remote_execution_calls.ActionCacheStub(cas_channel)
        self._execution = remote_execution_calls.ExecutionStub(channel)
        self._operations = operations_calls.OperationsStub(channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for channel in self._channels:
            channel.close()

    # Blobs

    def upload(self, *blobs):
        requests = [
            remote_execution.BatchUpdateBlobsRequest.Request(digest=digest_of(blob), data=blob) for blob in blobs
        ]
        answer = self._cas.BatchUpdateBlobs(
            remote_execution.BatchUpdateBlobsRequest(instance_name=self.instance, requests=requests), timeout=60
        )
        for response in answer.responses:
            expect(response.status.code == 0, f"a blob was not taken: {response.status.message}")

    def missing(self, *digests):
        answer = self._cas.FindMissingBlobs(
            remote_execution.FindMissingBlobsRequest(instance_name=self.instance, blob_digests=digests), timeout=60
        )
        return list(answer.missing_blob_digests)

    def read(self, digest):
        request = remote_execution.BatchReadBlobsRequest(instance_name=self.instance, digests=[digest])
        (response,) = self._cas.BatchReadBlobs(request, timeout=60).responses
        expect(response.status.code == 0, f"{digest.hash} cannot be read: {response.status.message}")
        return response.data

    def printed(self, outcome):
        """What the action wrote to standard output, wherever it is kept."""
        result = outcome.result
        if result.stdout_raw or not result.stdout_digest.size_bytes:
            return result.stdout_raw.decode()
        return self.read(result.stdout_digest).decode()

    # Actions

    def action(self, *arguments, platform, outputs=(), missing=None, timeout=None):
        """Uploads an action; its digest. Files of its input root that are `missing` are not uploaded."""
        properties = [
            remote_execution.Platform.Property(name=name, value=value) for name, value in sorted(platform.items())
        ]
        wanted = remote_execution.Platform(properties=properties)
        command = remote_execution.Command(
            arguments=arguments,
            output_paths=sorted(outputs),
            # Engines differ in where they look.
            platform=wanted,
        ).SerializeToString()
        root = remote_execution.Directory(
            files=[
                remote_execution.FileNode(name=name, digest=digest_of(content))
                for name, content in sorted((missing or {}).items())
            ]
        ).SerializeToString()
        action = remote_execution.Action(
            command_digest=digest_of(command),
            input_root_digest=digest_of(root),
            platform=wanted,
        )
        if timeout is not None:
            action.timeout.seconds = timeout
        action = action.SerializeToString()
        self.upload(command, root, action)
        return digest_of(action)

    def cached(self, digest):
        """The action's entry in the action cache, or None."""
        try:
            return self._cache.GetActionResult(
                remote_execution.GetActionResultRequest(instance_name=self.instance, action_digest=digest), timeout=60
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise

    def execute(self, digest):
        """Asks once, and follows until the stream ends."""
        return Execution(lambda: self._execution.Execute(self._request(digest)))

    def insist(self, digest, patience=120):
        """Asks until there is an answer, as Bazel does: the operation goes on, or else the action is asked for again.

        Gives the outcome, and how often the action was asked for.
        """
        asked, deadline = 1, time.monotonic() + patience
        execution = self.execute(digest)
        while time.monotonic() < deadline:
            outcome = execution.wait(deadline - time.monotonic())
            if execution.ended_well and not self._to_be_asked_again(outcome):
                return outcome, asked
            name = execution.name
            if name and not execution.ended_well and outcome.code != grpc.StatusCode.NOT_FOUND.value[0]:
                execution = self._wait_execution(name)
            else:
                execution, asked = self.execute(digest), asked + 1
            time.sleep(0.5)
        raise Failed(f"waited {patience} s for the outcome of {digest.hash}; the last was {outcome}")

    @staticmethod
    def _to_be_asked_again(outcome):
        return outcome.code in {code.value[0] for code in _ASK_AGAIN} or "No workers exist" in outcome.message

    def _wait_execution(self, name):
        request = remote_execution.WaitExecutionRequest(name=name)
        return Execution(lambda: self._execution.WaitExecution(request), name)

    def cancel(self, name):
        self._operations.CancelOperation(operations.CancelOperationRequest(name=name), timeout=60)

    def _request(self, digest):
        return remote_execution.ExecuteRequest(
            instance_name=self.instance, action_digest=digest, skip_cache_lookup=False
        )


class Execution:
    """A call of Execute or WaitExecution that is being followed."""

    def __init__(self, call, name=""):
        self.name = name
        self.stages = []  # each once, in the order in which they were told
        self.ended_well = False  # with a response, whatever it says
        self._outcome = None
        self._changed = threading.Condition()
        self._stream = call()
        threading.Thread(target=self._follow, daemon=True).start()

    def leave(self):
        """What a client that is gone does."""
        self._stream.cancel()

    def wait(self, patience=120):
        """The outcome, once there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._outcome is not None, patience)
            if self._outcome is None:
                told = ", ".join(stage_name(stage) for stage in self.stages) or "nothing"
                raise Failed(f"waited {patience:.0f} s for the end of {self.name!r}, of which was told: {told}")
            return self._outcome

    def ended(self):
        with self._changed:
            return self._outcome is not None

    def told(self, stage):
        """Whether this stage was told of."""
        with self._changed:
            return stage in self.stages

    def _follow(self):
        try:
            for operation in self._stream:
                self._heard(operation)
        except grpc.RpcError as error:
            self._end(Outcome(error.code().value[0], error.details() or "", _NO_RESULT, False, []))
        else:
            self._end(Outcome(grpc.StatusCode.UNAVAILABLE.value[0], "the stream ended early", _NO_RESULT, False, []))

    def _heard(self, operation):
        metadata = remote_execution.ExecuteOperationMetadata()
        operation.metadata.Unpack(metadata)
        with self._changed:
            self.name = operation.name
            if metadata.stage not in self.stages:
                self.stages.append(metadata.stage)
            self._changed.notify_all()
        if operation.done:
            self._end(_outcome(operation), well=True)

    def _end(self, outcome, well=False):
        with self._changed:
            if self._outcome is None:
                self._outcome, self.ended_well = outcome, well
            self._changed.notify_all()


_NO_RESULT = remote_execution.ActionResult()


def _outcome(operation):
    if operation.WhichOneof("result") == "error":
        error = operation.error
        return Outcome(error.code, error.message, _NO_RESULT, False, list(error.details))
    response = remote_execution.ExecuteResponse()
    operation.response.Unpack(response)
    status = response.status
    return Outcome(status.code, status.message, response.result, response.cached_result, list(status.details))


def stage_name(stage):
    return remote_execution.ExecutionStage.Value.Name(stage)


def digest_of(blob):
    return remote_execution.Digest(hash=hashlib.sha256(blob).hexdigest(), size_bytes=len(blob))


def digest_named(name, size):
    return remote_execution.Digest(hash=name, size_bytes=int(size))
