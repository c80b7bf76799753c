"""What a server's store says about the actions that ran: ActionResult, read straight from the files of its cache.

Knows as much of protobuf's wire format as that takes, and the numbers of the few fields that are asked for.
"""

import dataclasses
import os

from harness.report import expect_equal

# build.bazel.remote.execution.v2.ActionResult
_OUTPUT_FILES, _OUTPUT_DIRECTORIES, _EXECUTION_METADATA = 2, 3, 9
# OutputFile, OutputDirectory, ExecutedActionMetadata
_PATH, _WORKER = 1, 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclasses.dataclass
class ActionResult:
    """One entry of the action cache."""

    action: str  # SHA-256 of the action
    outputs: list  # paths of its files and directories
    worker: str


def of(store):
    """All entries of a store's action cache."""
    found = []
    for directory, _, names in os.walk(os.path.join(store, "ac")):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                found.append(_decode(name, file.read()))
    return found


def making(store, output):
    """The only entry with this output; its path ends so."""
    found = [result for result in of(store) if any(path.endswith(output) for path in result.outputs)]
    expect_equal(len(found), 1, f"results in the action cache that make {output}")
    return found[0]


def _decode(name, message):
    outputs, worker = [], ""
    for number, value in _fields(message):
        if number in (_OUTPUT_FILES, _OUTPUT_DIRECTORIES):
            outputs.append(dict(_fields(value))[_PATH].decode())
        elif number == _EXECUTION_METADATA:
            worker = dict(_fields(value)).get(_WORKER, b"").decode()
    return ActionResult(name, outputs, worker)


def _fields(message):
    """Field numbers and values: integers of varints, else the bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
            value, at = message[at : at + length], at + length
        else:
            raise ValueError(f"field {number} is of kind {kind}")
        yield number, value


def _varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if not byte & 0x80:
            return value, at
