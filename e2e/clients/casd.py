"""BuildBox's tools for storage alone: casupload and casdownload, and buildbox-casd as a proxy in front of us."""

import contextlib
import hashlib
import os
import signal
import socket

from harness import processes
from harness.report import expect, expect_equal, tail
from harness.server import free_port


def prepare(place):
    place.write("up/plain", "plain\n")
    place.write("up/sub dir/ünï ☃", "snow\n")
    place.write("up/script", "#!/bin/sh\n", mode=0o755)
    place.write("up/empty", "")
    os.makedirs(place.path("up/nothing in it"))
    os.symlink("sub dir/ünï ☃", place.path("up/link"))
    os.symlink("no/where", place.path("up/dangling"))
    with open(place.path("up/noise"), "wb") as file:
        file.write(hashlib.shake_256(b"casd").digest(20_000_000))
    for number in range(500):
        place.write(f"up/many/{number}", f"{number}\n")


def round_trips(run, place):
    with run.server() as server:
        for form in ["root", "tree"]:
            with run.check(f"a directory goes up and comes down as it was, by {form} digest"):
                place.remove("down", "digest")
                digest = upload(place, server.http2_address, form)
                succeeded(
                    place.run(
                        "casdownload",
                        f"--remote={server.http2_address}",
                        f"--{form}-digest={digest}",
                        f"--destination-dir={place.path('down')}",
                    )
                )
                expect_equal(place.manifest("down"), place.manifest("up"), "what came down")

        with run.check("the second upload sends nothing"):
            before = {path: os.stat(path).st_ino for path in server.blobs()}
            upload(place, server.http2_address, "root")
            expect_equal({path: os.stat(path).st_ino for path in server.blobs()}, before, "blobs")

        with run.check("a blob that is not there"):
            finished = place.run(
                "casdownload",
                f"--remote={server.http2_address}",
                f"--file-digest={'0' * 64}/7",
                f"--destination-dir={place.path('down')}",
            )
            expect(finished.code != 0, "casdownload succeeded")

        with run.check("the store is intact"):
            run.verify_store(server.store)


def proxy(run, place):
    """buildbox-casd between client and server: it fetches, batches and validates in ways of its own."""
    with run.server() as server, casd(place, server) as address:
        with run.check("through buildbox-casd: up, and down again without it"):
            place.remove("down")
            digest = upload(place, address, "root")
            download(place, server.http2_address, digest)
            expect_equal(place.manifest("down"), place.manifest("up"), "what came down")

        with run.check("through buildbox-casd: down what others put up"):
            place.remove("down")
            place.write("up/late", "late\n")
            digest = upload(place, server.http2_address, "root")
            download(place, address, digest)
            expect_equal(place.manifest("down"), place.manifest("up"), "what came down")
            place.remove("up/late")

        with run.check("through buildbox-casd: executed, and the result found again"):
            for executed in ["executed", "cached"]:
                place.remove("result")
                finished = place.run(
                    *["trexe", f"--remote={address}", "--platform-properties=OSFamily=Linux,Arch=amd64"],
                    *["--input-path=up/plain:plain", "--output-path=out", f"--d={place.path('result')}"],
                    *["--log-level=debug", "--", "/bin/sh", "-c", "cat plain > out"],
                )
                succeeded(finished)
                expect_equal(place.read("result/out"), "plain\n", "out")
                expect_equal("Result was cached!" in finished.output, executed == "cached", "whether it was cached")


def chunks(run, place):
    """SpliceBlob and SplitBlob: casd sends and fetches large blobs in content-defined chunks."""
    with run.server() as server:
        with run.check("a large blob goes up in chunks and is whole at the server", needed=True):
            with casd(place, server, "--enable-chunking-for-instance=") as address:
                digest = upload(place, address, "root")
            place.remove("down")
            download(place, server.http2_address, digest)
            expect_equal(place.manifest("down"), place.manifest("up"), "what came down")

        with run.check("a large blob comes down in chunks"):
            place.remove("down")
            with casd(place, server, "--enable-chunking-for-instance=") as address:
                download(place, address, digest)
            expect_equal(place.manifest("down"), place.manifest("up"), "what came down")

        with run.check("the store is intact"):
            run.verify_store(server.store)


@contextlib.contextmanager
def casd(place, server, *flags):
    """A buildbox-casd with an empty cache, in front of the server."""
    port = free_port()
    place.remove("casd")
    address = f"http://127.0.0.1:{port}"
    child = place.start(
        *["buildbox-casd", f"--remote={server.http2_address}", f"--bind=127.0.0.1:{port}", "--proxy-instance="],
        *[*flags, place.path("casd")],
    )
    try:
        processes.wait_until(lambda: answers(port), "buildbox-casd to answer")
        yield address
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            processes.finish(child, ["buildbox-casd"], patience=60)
        finally:
            place.remove("casd")


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def upload(place, address, form):
    succeeded(
        place.run(
            *["casupload", f"--remote={address}", f"--directory-format={form}"],
            *[f"--output-{'tree-' if form == 'tree' else ''}digest-file=digest", "up"],
        )
    )
    return place.read("digest").strip()


def download(place, address, digest):
    succeeded(
        place.run(
            "casdownload", f"--remote={address}", f"--root-digest={digest}", f"--destination-dir={place.path('down')}"
        )
    )


def succeeded(finished):
    expect_equal(finished.code, 0, f"exit code, with this output:\n{tail(finished.output)}\n")
    return finished


SCENARIOS = [("round_trips", round_trips), ("proxy", proxy), ("chunks", chunks)]
