"""Rounds that take turns between `crosswheel serve` and the engines, and the table of what they took."""

import concurrent.futures
import contextlib
import itertools
import os
import statistics
import time

from engines.buildbarn.engine import Buildbarn
from engines.buildgrid.engine import BuildGrid
from engines.client import Client, digest_of
from engines.messages import remote_execution
from engines.nativelink.engine import NativeLink
from engines.worker import Worker
from harness.report import expect
from harness.server import Server
from peer import PLATFORM as PEER_PLATFORM
from peer import bb_worker

_ENGINES = {engine.name: engine for engine in [BuildGrid, Buildbarn, NativeLink]}
_PLATFORM = {"Arch": "amd64", "OSFamily": "Linux"}
_SLOTS = 4
_AT_A_TIME = 8
_numbers = itertools.count()

# In the order of the table.
_ROWS = ["no-op, one at a time, ms", "no-ops per second, 8 at a time", "first action on a root, staging, ms"]
_ROWS += ["next action on it, staging, ms", "one file is another, staging, ms"]


def compare(options, directory):
    binary = os.path.abspath(options.crosswheel)
    pool = f"amd64,slots={_SLOTS}"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(binary, directory, flags=[f"--pool={pool}"]))
        client = stack.enter_context(Client(server.host_and_port, server.host_and_port))
        sides = {"serve": Side(client, _PLATFORM)}
        for name in options.engines:
            place = os.path.join(directory, name)
            os.makedirs(place)
            os.chmod(place, 0o711)
            engine = stack.enter_context(_ENGINES[name](options, place))
            stack.enter_context(Worker(binary, place, engine, "bench", [pool]))
            client = stack.enter_context(Client(engine.address, engine.cas_address))
            sides[name] = Side(client, _PLATFORM)
            if name == "buildbarn" and options.bb_worker:
                stack.enter_context(bb_worker(os.path.abspath(options.bb_worker), place, engine, _SLOTS))
                sides["buildbarn, its own worker"] = Side(client, PEER_PLATFORM)
                sides["buildbarn, its own worker"].wait()
        figures = {name: {row: [] for row in _ROWS} for name in sides}
        for _ in range(options.rounds):
            for name, side in sides.items():
                for row, figure in side.round(options).items():
                    figures[name][row].append(figure)
    show(figures)


class Side:
    """One of those that are compared: a client, and what its actions ask for."""

    def __init__(self, client, platform):
        self.client = client
        self.platform = platform

    def round(self, options):
        """The figures of one round."""
        # The first one is not counted: what has not been used for a while is slower.
        self.run(self.no_op())
        took = []
        for _ in range(options.actions):
            action = self.no_op()
            begin = time.monotonic()
            self.run(action)
            took.append(time.monotonic() - begin)
        actions = [self.no_op() for _ in range(options.actions * 4)]
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(_AT_A_TIME) as threads:
            list(threads.map(self.run, actions))
        per_second = len(actions) / (time.monotonic() - begin)
        root = Root(self.client, options.files)
        first = staging(self.run(self.on(root.digest)))
        following = statistics.median(staging(self.run(self.on(root.digest))) for _ in range(5))
        changed = statistics.median(staging(self.run(self.on(root.changed()))) for _ in range(3))
        return dict(zip(_ROWS, [statistics.median(took) * 1e3, per_second, first, following, changed]))

    def wait(self):
        """Until there is somebody who runs its actions."""
        outcome, _ = self.client.insist(self.no_op())
        expect(outcome.succeeded, f"nobody runs actions: {outcome}")

    def run(self, action):
        outcome = self.client.execute(action).wait()
        expect(outcome.succeeded and not outcome.cached, f"an action did not run: {outcome}")
        return outcome

    def no_op(self):
        """One that nobody has run before."""
        return self.on(self._root_of_nothing())

    def on(self, root):
        """One that nobody has run before, on this input root."""
        properties = [
            remote_execution.Platform.Property(name=name, value=value) for name, value in sorted(self.platform.items())
        ]
        platform = remote_execution.Platform(properties=properties)
        command = remote_execution.Command(arguments=["/bin/true", str(next(_numbers))], platform=platform)
        command = command.SerializeToString()
        action = remote_execution.Action(command_digest=digest_of(command), input_root_digest=root, platform=platform)
        action = action.SerializeToString()
        self.client.upload(command, action)
        return digest_of(action)

    def _root_of_nothing(self):
        root = remote_execution.Directory().SerializeToString()
        self.client.upload(root)
        return digest_of(root)


def staging(outcome):
    """Milliseconds, as the worker says."""
    metadata = outcome.result.execution_metadata
    begin, end = metadata.input_fetch_start_timestamp, metadata.input_fetch_completed_timestamp
    return (end.ToNanoseconds() - begin.ToNanoseconds()) / 1e6


class Root:
    """An input root that nobody has seen before: directories of a hundred files."""

    _PER_DIRECTORY = 100
    _PER_BATCH = 1000

    def __init__(self, client, files):
        self._client = client
        self._label = f"{time.time_ns()}-{next(_numbers)}"
        self._directories = []
        blobs = []
        for number in range(0, files, self._PER_DIRECTORY):
            contents = [self._content(number + one) for one in range(min(self._PER_DIRECTORY, files - number))]
            self._directories.append(contents)
            blobs += contents
        for start in range(0, len(blobs), self._PER_BATCH):
            client.upload(*blobs[start : start + self._PER_BATCH])
        self.digest = self._upload()

    def changed(self):
        """Its digest once a file of it is another."""
        self._directories[0][0] = self._content(next(_numbers))
        self._client.upload(self._directories[0][0])
        self.digest = self._upload()
        return self.digest

    def _content(self, number):
        return f"{self._label} {number}\n".encode() * 8

    def _upload(self):
        directories = [
            remote_execution.Directory(
                files=[
                    remote_execution.FileNode(name=f"file{number:03}", digest=digest_of(content))
                    for number, content in enumerate(contents)
                ]
            ).SerializeToString()
            for contents in self._directories
        ]
        root = remote_execution.Directory(
            directories=[
                remote_execution.DirectoryNode(name=f"directory{number:03}", digest=digest_of(directory))
                for number, directory in enumerate(directories)
            ]
        ).SerializeToString()
        self._client.upload(*directories, root)
        return digest_of(root)


def show(figures):
    """A table, and how the others compare to the first."""
    names = list(figures)
    print(f"| | {' | '.join(names)} |")
    print(f"|---|{'--:|' * len(names)}")
    for row in _ROWS:
        medians = [statistics.median(figures[name][row]) for name in names]
        base = medians[0]
        cells = [f"{figure:.3g}" if figure is base else f"{figure:.3g} ({figure / base:.2f} ×)" for figure in medians]
        print(f"| {row} | {' | '.join(cells)} |")
