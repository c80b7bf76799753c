"""The messages and calls of the Remote Execution API and of what engines say to workers, from this repository's protos.

They are compiled when this is imported, which takes half a second and leaves no files.
"""

import os
import sys

PROTOS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "protos")
sys.path.append(PROTOS)

import grpc  # noqa: E402

remote_execution, remote_execution_calls = grpc.protos_and_services(
    "build/bazel/remote/execution/v2/remote_execution.proto"
)
operations, operations_calls = grpc.protos_and_services("google/longrunning/operations.proto")
empty = grpc.protos("google/protobuf/empty.proto")


def load(directory, name):
    """The messages and the calls of another file."""
    if directory not in sys.path:
        sys.path.append(directory)
    return grpc.protos_and_services(name)
