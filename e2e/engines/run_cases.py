"""Runs the cases in one engine, and is what they are given."""

import os
import tempfile

from engines.buildbarn.engine import Buildbarn
from engines.buildgrid.engine import BuildGrid
from engines.cases import CASES, NOT_IN_CI
from engines.client import Client
from engines.nativelink.engine import NativeLink
from engines.runs import Runs
from engines.worker import Worker

_ENGINES = {engine.name: engine for engine in [BuildGrid, Buildbarn, NativeLink]}

# What the small actions ask for, in the words of the reference case.
PLATFORM = {"Arch": "amd64", "OSFamily": "Linux"}


def run_engine(name, options, binary, directory, report, notes):
    print(f"== {name}", flush=True)
    os.makedirs(directory)
    os.chmod(directory, 0o711)
    run = Run(report, options, binary, directory, name, notes)
    with run.guard("the engine"), _ENGINES[name](options, directory) as run.engine:
        for case, check in CASES:
            if options.only and case not in options.only:
                continue
            if options.ci and case in NOT_IN_CI:
                continue
            with run.guard(case), Runs() as run.runs:
                try:
                    check(run)
                finally:
                    run.runs.end()


class Run:
    """What a case is given: an engine, workers, clients, a view of what runs, checks."""

    def __init__(self, report, options, binary, directory, name, notes):
        self._report = report
        self._directory = directory
        self._name = name
        self._notes = notes
        self.options = options
        self.binary = binary
        self.engine = None
        self.runs = None
        self.platform = PLATFORM
        # What one case built, for another to compare: name -> anything.
        self.built = {}

    def check(self, name, needed=False):
        return self._report.check(f"{self._name}: {name}", needed)

    def guard(self, name):
        """Around a whole case: what fails outside of its checks, such as starting a worker."""
        return self._report.guard(f"{self._name}: {name}")

    def note(self, text):
        """A figure worth seeing, beside the checks."""
        self._notes.append(f"{self._name}: {text}")
        print(f"     {text}", flush=True)

    def client(self):
        return Client(self.engine.address, self.engine.cas_address)

    def worker(self, name, pool="amd64", slots=1, **settings):
        """One of the platform that the small actions ask for, unless `pool` says more."""
        return Worker(self.binary, self._directory, self.engine, name, [f"{pool},slots={slots}"], **settings)

    def action(self, client, script, **settings):
        """A small action: a script."""
        return client.action("/bin/sh", "-c", script, platform=self.platform, **settings)

    def directory(self, name):
        return tempfile.mkdtemp(prefix=f"{name}-", dir=self._directory)


