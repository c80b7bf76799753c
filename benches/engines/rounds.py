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
        clients = {"serve": client}
        for name in options.engines:
            place = os.path.join(directory, name)
            os.makedirs(place)
            os.chmod(place, 0o711)
            engine = stack.enter_context(_ENGINES[name](options, place))
            stack.enter_context(Worker(binary, place, engine, "bench", [pool]))
            clients[name] = stack.enter_context(Client(engine.address, engine.cas_address))
        figures = {name: {row: [] for row in _ROWS} for name in clients}
        for _ in range(options.rounds):
            for name, client in clients.items():
                for row, figure in round_of(client, options).items():
                    figures[name][row].append(figure)
    show(figures)


def round_of(client, options):
    """The figures of one round."""
    # The first one is not counted: what has not been used for a while is slower.
    run(client, _no_op(client))
    took = []
    for _ in range(options.actions):
        action = _no_op(client)
        begin = time.monotonic()
        run(client, action)
        took.append(time.monotonic() - begin)
    actions = [_no_op(client) for _ in range(options.actions * 4)]
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(_AT_A_TIME) as threads:
        list(threads.map(lambda action: run(client, action), actions))
    per_second = len(actions) / (time.monotonic() - begin)
    root = Root(client, options.files)
    first = staging(run(client, _on(client, root.digest)))
    following = statistics.median(staging(run(client, _on(client, root.digest))) for _ in range(5))
    changed = statistics.median(staging(run(client, _on(client, root.changed()))) for _ in range(3))
    return dict(zip(_ROWS, [statistics.median(took) * 1e3, per_second, first, following, changed]))


def run(client, action):
    outcome = client.execute(action).wait()
    expect(outcome.succeeded and not outcome.cached, f"an action did not run: {outcome}")
    return outcome


def staging(outcome):
    """Milliseconds, as the worker says."""
    metadata = outcome.result.execution_metadata
    begin, end = metadata.input_fetch_start_timestamp, metadata.input_fetch_completed_timestamp
    return (end.ToNanoseconds() - begin.ToNanoseconds()) / 1e6


def _no_op(client):
    """One that nobody has run before."""
    return client.action("/bin/true", str(next(_numbers)), platform=_PLATFORM)


def _on(client, root):
    properties = [remote_execution.Platform.Property(name=name, value=value) for name, value in sorted(_PLATFORM.items())]
    platform = remote_execution.Platform(properties=properties)
    command = remote_execution.Command(arguments=["/bin/true", str(next(_numbers))], platform=platform)
    command = command.SerializeToString()
    action = remote_execution.Action(command_digest=digest_of(command), input_root_digest=root, platform=platform)
    action = action.SerializeToString()
    client.upload(command, action)
    return digest_of(action)


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
