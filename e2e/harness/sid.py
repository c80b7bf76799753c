"""A Debian sid root, made once by mmdebstrap and kept: where the clients live that no stable Debian has.

The kept root is never written to: each run sees it read-only in a mount and pid namespace of its own, with the run's
directory at the same path as outside. Ending the namespace ends everything that was started in it.
"""

import os
import select
import shutil
import signal
import subprocess
import sys

from harness.processes import PATIENCE_SECONDS, children, end
from harness.report import Failed

PACKAGES = [
    "bazel-bootstrap",
    "buildbox",
    "ca-certificates",
    "g++",
    "gcc",
    "libc6-dev",
    "locales",
    "make",
    "ninja-build",
    "python3",
    "python3-venv",
    "siso",
]

# Bazel takes file names for Latin-1, and since JDK 18 only a locale can tell Java so.
_HOOK = (
    'chroot "$1" localedef -i en_US -f ISO-8859-1 en_US.ISO-8859-1; '
    'mkdir -p "$1/work"; rm -rf "$1"/usr/share/doc/* "$1"/var/cache/apt/*.bin'
)

# For a mirror that is slow, and a machine that is.
MAKING_SECONDS = 3600

MIRROR = "http://deb.debian.org/debian"

# Its first process: prepares the mounts, says so, and then only reaps what its children leave behind.
_INIT = """
set -eu
root=$1 work=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/root"
mkdir -p "$root$work"
mount --bind "$work" "$root$work"
for shown; do
    mkdir -p "$root$shown"
    mount --bind "$shown" "$root$shown"
done
mount -o remount,ro,bind "$root"
echo ready
exec 1>&- 2>&-
while :; do sleep 1h & wait "$!" || true; done
"""


class SidRoot:
    """The root, or another one like it, entered from `with` to its end. `shown` are directories of this machine that are
    there as well."""

    def __init__(self, path, work, shown=()):
        self.path = path
        self.work = work
        self._shown = list(shown)
        self._init = None
        self._first_process = None

    def __enter__(self):
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        self._init = subprocess.Popen(
            [*unshare, "bash", "-c", _INIT, "sid-init", self.path, self.work, *self._shown],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # unshare complains when its child is killed, which is how it ends
            start_new_session=True,
        )
        # It says so or ends; a mount that hangs must not stop the run.
        readable, _, _ = select.select([self._init.stdout], [], [], PATIENCE_SECONDS)
        if not readable or self._init.stdout.readline() != b"ready\n":
            end(self._init, "the sid root's first process")
            late = "" if readable else f" (nothing came in {PATIENCE_SECONDS} s)"
            raise SystemExit(f"cannot enter the sid root; root is needed for its namespaces{late}")
        (self._first_process,) = children(self._init.pid)
        return self

    def __exit__(self, *_):
        os.kill(self._first_process, signal.SIGKILL)
        end(self._init, "the sid root's first process")
        self._init.stdout.close()

    def command(self, command, cwd, env):
        """The command line that runs `command` inside, with exactly `env`."""
        return self._command(["--pid"], command, cwd, env)

    def command_in_place(self, command, cwd, env):
        """The same, but what is started is `command` itself, and not what carries it: signals reach it. It has to be ended
        before the root is left."""
        return self._command([], command, cwd, env)

    def _command(self, namespaces, command, cwd, env):
        settings = [f"{name}={value}" for name, value in env.items()]
        return [
            "nsenter",
            f"--target={self._first_process}",
            "--mount",
            *namespaces,
            "chroot",
            self.path,
            "env",
            f"--chdir={cwd}",
            "-i",
            *settings,
            *command,
        ]


def ensure(path):
    """Makes the root at `path` unless it is there: a minute or two, 1.6 GB, from a Debian mirror."""
    marker = os.path.join(path, "work", "complete")
    if os.path.exists(marker):
        return
    if shutil.which("mmdebstrap") is None:
        raise SystemExit("mmdebstrap is missing; run with --install, or: apt-get install mmdebstrap")
    print(f"Making a Debian sid root at {path}", flush=True)
    partial = f"{path}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    log_path = f"{path}.log"
    with open(log_path, "wb") as log:
        made = subprocess.run(
            [
                "mmdebstrap",
                "--mode=root",
                "--variant=minbase",
                # A mirror may be a little old. Signatures are checked all the same.
                '--aptopt=Acquire::Check-Valid-Until "false"',
                '--aptopt=APT::Install-Recommends "false"',
                f"--include={','.join(PACKAGES)}",
                f"--customize-hook={_HOOK}",
                "sid",
                partial,
                MIRROR,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            timeout=MAKING_SECONDS,
        )
    if made.returncode != 0:
        sys.stderr.write(open(log_path, encoding="utf-8", errors="replace").read()[-4000:])
        raise Failed(f"mmdebstrap failed; all it said is in {log_path}")
    open(os.path.join(partial, "work", "complete"), "w", encoding="ascii").close()
    shutil.rmtree(path, ignore_errors=True)
    os.rename(partial, path)
