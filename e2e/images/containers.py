"""Containers of an image, run by runc as a cautious cluster would: a user that is not root, no capabilities, no new
privileges, a root file system that cannot be written to, a network of its own. Does not know what runs in them."""

import json
import os
import subprocess
import tempfile

from harness import processes
from harness.report import Failed, tail

# As the Dockerfile has it.
USER = 10001
HOME = "/var/lib/crosswheel"

_CAPABILITY_SETS = ["bounding", "effective", "permitted", "inheritable", "ambient"]


class Image:
    """An unpacked image; `enter` is what a command line begins with where the image's programs can run."""

    def __init__(self, layout, arch, directory, enter=()):
        self.arch = arch
        self.enter = list(enter)
        self.directory = os.path.join(directory, f"image-{arch}")
        self._layers = tempfile.mkdtemp(prefix="layers-", dir=directory)
        one = os.path.join(directory, f"layout-{arch}")
        choice = ["--override-os=linux", f"--override-arch={arch}"]
        call("skopeo", "--insecure-policy", *choice, "copy", f"oci:{layout}:latest", f"oci:{one}:latest")
        call("umoci", "unpack", "--image", f"{one}:latest", self.directory)
        with open(os.path.join(self.directory, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)

    @property
    def root(self):
        return os.path.join(self.directory, "rootfs")

    def container(self, *arguments, **how):
        return Container(self, self._layers, arguments, **how)


class Container:
    """One that runs from `with` to its end; its volume is a directory of ours."""

    def __init__(self, image, directory, arguments, seccomp=None, unmasked=False, entrypoint=None, network=None):
        self.image = image
        self.directory = tempfile.mkdtemp(prefix="container-", dir=directory)
        self.volume = os.path.join(self.directory, "volume")
        os.mkdir(self.volume)
        os.chown(self.volume, USER, USER)
        self._merged = os.path.join(self.directory, "merged")
        self._log_path = os.path.join(self.directory, "log")
        self._pid_file = os.path.join(self.directory, "pid")
        self._process = None
        self._state = tempfile.mkdtemp(prefix="crosswheel-runc-", dir="/run")
        entrypoint = entrypoint or self.image.config["process"]["args"][:1]
        self._write_config(entrypoint, arguments, seccomp, unmasked, network)

    def _write_config(self, entrypoint, arguments, seccomp, unmasked, network):
        config = json.loads(json.dumps(self.image.config))
        process = config["process"]
        process["terminal"] = False
        # Without arguments it is the image's own command.
        process["args"] = [*entrypoint, *arguments] if arguments else process["args"]
        process["capabilities"] = {kind: [] for kind in _CAPABILITY_SETS}
        process["noNewPrivileges"] = True
        process["rlimits"] = []
        config["root"] = {"path": self._merged, "readonly": True}
        mounts = [mount for mount in config["mounts"] if mount["destination"] not in (HOME, "/sys/fs/cgroup")]
        mounts.append(mount_of(HOME, "bind", self.volume, ["bind", "rw", "nosuid", "nodev"]))
        mounts.append(mount_of("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777"]))
        config["mounts"] = mounts
        if unmasked:
            config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
        if network:
            for namespace in config["linux"]["namespaces"]:
                if namespace["type"] == "network":
                    namespace["path"] = network
        if seccomp:
            config["linux"]["seccomp"] = seccomp
        with open(os.path.join(self.directory, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)

    def __enter__(self):
        # An overlay, as of a container engine: the sandbox mounts overlays of its own on that.
        layers = {name: os.path.join(self.directory, name) for name in ("upper", "work", "merged")}
        for layer in layers.values():
            os.mkdir(layer)
        options = f"lowerdir={self.image.root},upperdir={layers['upper']},workdir={layers['work']}"
        call("mount", "-t", "overlay", "overlay", "-o", options, self._merged)
        name = os.path.basename(self.directory)
        # In a user namespace the control groups of this machine are not ours.
        state = [f"--root={self._state}", *(["--rootless=true"] if self.image.enter else [])]
        runc = ["runc", *state, "run", f"--bundle={self.directory}", f"--pid-file={self._pid_file}", name]
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                [*self.image.enter, *runc], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(self, *_):
        try:
            if self._process.poll() is None:
                pid = self.pid()
                if pid:
                    os.kill(pid, 9)
                    self._process.wait(timeout=60)
                else:
                    processes.end(self._process, "runc")
        finally:
            subprocess.run(["umount", self._merged], check=True, timeout=60)
            subprocess.run(["rm", "-rf", "--one-file-system", self._state], check=True, timeout=60)

    def pid(self):
        """Of its first process, as this machine has it; none before it has one."""
        try:
            with open(self._pid_file, encoding="ascii") as file:
                return int(file.read() or 0) or None
        except FileNotFoundError:
            return None

    def log(self):
        with open(self._log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def run(self):
        """Runs it to its end: its exit code, and what it said."""
        with self:
            return self.finish()

    def finish(self, patience=processes.PATIENCE_SECONDS):
        """Waits for its end: its exit code, and what it said."""
        try:
            return self._process.wait(timeout=patience), self.log()
        except subprocess.TimeoutExpired:
            raise Failed(f"a container did not end within {patience} s:\n{tail(self.log())}") from None

    def stop(self):
        """Asks it to end, as an engine does: the exit code."""
        os.kill(self.pid(), 15)
        return self.finish(patience=120)[0]

    def within(self, *command, env=(), patience=120):
        """Runs a command in it beside its first process, with the same user."""
        process = self.image.config["process"]
        settings = [*process["env"], *env]
        line = [
            "nsenter",
            f"--target={self.pid()}",
            "--mount",
            "--pid",
            "--net",
            "--ipc",
            "--uts",
            *(["--user"] if self.image.enter else []),
            "--root",
            f"--setuid={USER}",
            f"--setgid={USER}",
            "env",
            "-i",
            *settings,
            *command,
        ]
        return processes.run(line, patience=patience)

    def wait_for(self, condition, what, patience=120):
        """Polls, and gives up when it has ended."""

        def done():
            return self._process.poll() is not None or condition()

        processes.wait_until(done, f"{what}; its log:\n{tail(self.log())}", patience=patience)
        if self._process.poll() is not None:
            raise Failed(f"a container ended with {self._process.returncode}:\n{tail(self.log())}")

    def answers(self, path, port=8981):
        """What its own loopback says: status and text. Asked by a program of this machine, in its network."""
        script = (
            "import sys, urllib.request, urllib.error\n"
            "try:\n answer = urllib.request.urlopen(sys.argv[1], timeout=30)\n"
            "except urllib.error.HTTPError as error:\n answer = error\n"
            "print(answer.status, answer.read().decode())"
        )
        pid = self.pid()
        if pid is None:
            return None, "there is no container yet"
        address = f"http://127.0.0.1:{port}{path}"
        enter = ["nsenter", f"--target={pid}", "--net"]
        asked = processes.run([*enter, "python3", "-IS", "-c", script, address], patience=60)
        if asked.code != 0:
            return None, asked.output
        status, _, text = asked.output.partition(" ")
        return int(status), text.strip()


def mount_of(destination, kind, source, options):
    return {"destination": destination, "type": kind, "source": source, "options": options}


def call(*command):
    done = processes.run(list(command))
    if done.code != 0:
        raise Failed(f"{' '.join(command)} failed:\n{tail(done.output)}")
    return done.output
