"""What is checked of the images as workers: that they start, say how they are, and build for an engine."""

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess

from engines.buildbarn import programs as buildbarn
from harness import processes
from harness.files import read
from harness.processes import wait_until
from harness.report import Failed, expect_equal, tail
from images.containers import call
from images.places import DOCKER
from images.scenarios import WHEELS, healthy, profile

# Nobody listens there.
NOWHERE = "grpc://127.0.0.1:1"


def starts(run):
    """Without an engine: it waits for one, and says that it is alive."""
    for arch in run.architectures:
        for engine in ["buildbarn"] if arch != "amd64" else ["buildbarn", "buildgrid", "nativelink"]:
            with run.check(f"{arch}: a worker for {engine} waits for it, is healthy, and ends when it is told to"):
                arguments = ["worker", f"--engine={engine}", f"--scheduler={NOWHERE}", f"--cas={NOWHERE}"]
                arguments += run.emulated(arch)
                with run.image(arch).container(*arguments, seccomp=profile(run, arch)) as container:
                    alive = lambda: container.answers("/healthz")[0] == 200  # noqa: E731
                    container.wait_for(alive, "/healthz to answer", patience=300)
                    healthy(container)
                    ready, why = container.answers("/readyz")
                    expect_equal(ready, 503, f"the status of /readyz, which says {why}")
                    expect_equal(container.stop(), 0, f"the exit code after SIGTERM\n{tail(container.log())}")


def works(run):
    """With Buildbarn, as docker/compose/buildbarn configures it: one wheel, built by the image."""
    programs = run.buildbarn or buildbarn.ensure(os.path.join(run.kept, "..", "engines"))
    image = run.image("amd64")
    with run.check("amd64: a worker of the image builds a wheel for Buildbarn, as the Compose file configures both"):
        with Network() as network, Buildbarn(programs, run.directory, network):
            arguments = ["worker", "--engine=buildbarn", "--sandbox=required"]
            arguments += ["--scheduler=grpc://127.0.0.1:8983", "--cas=grpc://127.0.0.1:8980"]
            with image.container(*arguments, seccomp=profile(run), network=network.path) as container:
                container.wait_for(lambda: container.answers("/readyz")[0] == 200, "/readyz to answer")
                out = os.path.join(container.directory, "dist")
                built = run.build("amd64", "grpc://127.0.0.1:8980", out, enter=network.enter)
                expect_equal(built.code, 0, f"exit code of crosswheel build\n{tail(built.output)}\n{tail(container.log())}")
                # The setuptools that is there without an index spells names as projects do.
                expect_equal([name.lower() for name in os.listdir(out)], [WHEELS["amd64"]], "what was built")
                run.note(f"amd64: by a worker of Buildbarn in {built.seconds:.1f} s")
                expect_equal(container.stop(), 0, "the exit code after SIGTERM")


class Network:
    """A network of this machine's with nothing in it but a loopback interface, from `with` to its end."""

    def __enter__(self):
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.path = f"/proc/{self._holder.pid}/ns/net"
        self.enter = ["nsenter", f"--net={self.path}"]
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(self.path) != own, "a network namespace")
        call(*self.enter, "ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        processes.end(self._holder, "the process that keeps a network namespace")


class Buildbarn:
    """Storage and scheduler with the configuration of docker/compose/buildbarn, but for where things are."""

    def __init__(self, programs, directory, network):
        self._programs, self._network = programs, network
        self._directory = os.path.join(directory, "buildbarn")
        self._running = contextlib.ExitStack()

    def __enter__(self):
        for state in "cas/state", "ac/state":
            os.makedirs(os.path.join(self._directory, state))
        for path in glob.glob(os.path.join(DOCKER, "compose/buildbarn/*")):
            text = read(path).replace("'/storage/", f"'{self._directory}/")
            text = re.sub(r"'(storage|scheduler):", "'127.0.0.1:", text).replace("':%d'", "'127.0.0.1:%d'")
            # Files without blocks until they are written to, but nobody has to believe that here.
            text = text.replace("32 * gibibyte", "gibibyte")
            with open(os.path.join(self._directory, os.path.basename(path)), "w", encoding="utf-8") as file:
                file.write(text)
        for name, ports in [("storage", [8980]), ("scheduler", [8982, 8983])]:
            self._start(name, ports)
        return self

    def _start(self, name, ports):
        log = os.path.join(self._directory, f"{name}.log")
        command = [os.path.join(self._programs, f"bb_{name}"), os.path.join(self._directory, f"{name}.jsonnet")]
        with open(log, "wb") as file:
            child = subprocess.Popen(
                [*self._network.enter, *command], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        self._running.callback(self._end, child)

        def listens():
            if child.poll() is not None:
                raise Failed(f"bb_{name} ended with {child.returncode}:\n{tail(read(log))}")
            listening = processes.run([*self._network.enter, "ss", "-Hltn"]).output
            return all(f":{port} " in listening for port in ports)

        wait_until(listens, f"bb_{name} to listen; its log:\n{tail(read(log))}")

    @staticmethod
    def _end(child):
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait(timeout=60)

    def __exit__(self, *_):
        self._running.close()
        shutil.rmtree(self._directory)


SCENARIOS = [("starts", starts), ("works", works)]
