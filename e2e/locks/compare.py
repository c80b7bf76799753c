"""What uv installs against what crosswheel plans, for all that is asked of a project. Does not know the projects."""

import concurrent.futures
import dataclasses
import difflib
import itertools
import os

from harness.report import Failed, tail
from locks import crosswheel, place, uv

TARGETS = list(uv.PLATFORMS)


@dataclasses.dataclass
class Comparison:
    """What both said to one question; lines, or why not."""

    question: str
    expected: object
    planned: object

    @property
    def refused(self):
        return isinstance(self.expected, str)

    def agree(self):
        if self.refused or isinstance(self.planned, str):
            # The words are each one's own.
            return self.refused and isinstance(self.planned, str)
        return self.expected == self.planned

    def disagreement(self):
        if self.refused:
            return f"{self.question}\nuv refuses:\n{tail(self.expected)}\ncrosswheel plans:\n{_indented(self.planned)}"
        if isinstance(self.planned, str):
            return (
                f"{self.question}\nuv installs:\n{_indented(self.expected)}\ncrosswheel refuses:\n{tail(self.planned)}"
            )
        lines = difflib.unified_diff(self.expected, self.planned, "uv installs", "crosswheel plans", lineterm="", n=99)
        return f"{self.question}\n{_indented(lines)}"


def project(project, index, directory, real, ours, pythons):
    """All comparisons of a project; none of one that was drawn and has no lock. Raises Failed if there is nothing to
    compare."""
    directory = os.path.join(directory, project.name)
    place.make(project, index, directory)
    try:
        real.lock(directory, list(pythons.values())[-1])
    except uv.NoLock as failure:
        if project.drawn:
            return []
        raise Failed(str(failure)) from None
    place.finish(project, directory)
    questions = list(itertools.product(project.asked, pythons, TARGETS))
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        found = list(threads.map(lambda question: _one(directory, *question, real, ours, pythons), questions))
    if not project.drawn and project.never != all(comparison.refused for comparison in found):
        wanted = "all" if project.never else "not all"
        said = "\n".join(str(comparison.expected) for comparison in found[:2])
        raise Failed(f"uv was to refuse {wanted} of this; of the first it says:\n{tail(said)}")
    return found


def _one(directory, asked, version, target, real, ours, pythons):
    words = asked.split()
    try:
        expected = real.installs(directory, words, pythons[version], target)
    except uv.Refused as refused:
        expected = str(refused)
    try:
        planned = ours.plans(directory, words, version, target)
    except crosswheel.Refused as refused:
        planned = str(refused)
    return Comparison(f"{target}, Python {version}, {asked or 'nothing more'}", expected, planned)


def _indented(lines):
    return "\n".join(f"    {line}" for line in lines)
