"""Buildbarn's own worker, with hard links into its cache, beside ours in the same Buildbarn: for who has it built. Each
program has a file of settings."""

import contextlib
import json
import os

from engines.programs import Program

# Buildbarn compares the whole set: so whoever asks decides which worker it is.
PLATFORM = {"Arch": "amd64", "OSFamily": "Linux", "Worker": "bb_worker"}

_MEBIBYTE = 1 << 20


@contextlib.contextmanager
def bb_worker(programs, directory, engine, slots):
    """Both of its programs, which lie in `programs`, from `with` to their end."""
    place = os.path.join(directory, "bb_worker")
    for name in ["build", "cache"]:
        os.makedirs(os.path.join(place, name))
    socket = os.path.join(place, "runner.sock")
    runner = {
        "buildDirectoryPath": f"{place}/build",
        "grpcServers": [{"listenPaths": [socket], "authenticationPolicy": {"allow": {}}}],
    }
    storage = {"grpc": {"client": {"address": engine.cas_address}}}
    properties = [{"name": name, "value": value} for name, value in sorted(PLATFORM.items())]
    worker = {
        "blobstore": {"contentAddressableStorage": storage, "actionCache": storage},
        "browserUrl": "http://browser.invalid/",
        "maximumMessageSizeBytes": 16 * _MEBIBYTE,
        "scheduler": {"address": engine.scheduler_url.removeprefix("grpc://")},
        "buildDirectories": [
            {
                "native": {
                    "buildDirectoryPath": f"{place}/build",
                    "cacheDirectoryPath": f"{place}/cache",
                    "maximumCacheFileCount": 200_000,
                    "maximumCacheSizeBytes": 4096 * _MEBIBYTE,
                    "cacheReplacementPolicy": "LEAST_RECENTLY_USED",
                },
                "runners": [
                    {
                        "endpoint": {"address": f"unix://{socket}"},
                        "concurrency": slots,
                        "platform": {"properties": properties},
                        "workerId": {"name": "bench"},
                        "maximumFilePoolFileCount": 10_000,
                        "maximumFilePoolSizeBytes": 1024 * _MEBIBYTE,
                        "environmentVariables": {"PATH": "/usr/bin:/bin"},
                    }
                ],
            }
        ],
        "filePool": {"blockDevice": {"file": {"path": f"{place}/files", "sizeBytes": 1024 * _MEBIBYTE}}},
        "inputDownloadConcurrency": 10,
        "outputUploadConcurrency": 10,
        "directoryCache": {
            "maximumCount": 10_000,
            "maximumSizeBytes": 64 * _MEBIBYTE,
            "cacheReplacementPolicy": "LEAST_RECENTLY_USED",
        },
    }
    with (
        _program(programs, place, "bb_runner", runner, ready=lambda: os.path.exists(socket)),
        # It says nothing when it is ready; until then actions wait for it.
        _program(programs, place, "bb_worker", worker, ready=lambda: True),
    ):
        yield


def _program(programs, place, name, settings, ready):
    path = os.path.join(place, f"{name}.jsonnet")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(settings, file, indent=2)
    return Program(name, [os.path.join(programs, name), path], os.path.join(place, f"{name}.log"), ready)
