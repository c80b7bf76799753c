"""An OCI layout, as skopeo and umoci see it."""

import json
import os
import subprocess

from harness.processes import PATIENCE_SECONDS
from harness.report import Failed


class Layout:
    """A layout whose image or index is tagged `latest`."""

    def __init__(self, directory):
        self.directory = directory

    def raw(self):
        """The manifest or index that the tag stands for."""
        return json.loads(_call("skopeo", "inspect", "--raw", f"oci:{self.directory}:latest"))

    def config(self, architecture):
        """The configuration of the image that a machine of this architecture would pull."""
        choice = ["--override-os=linux", f"--override-arch={architecture}"]
        return json.loads(_call("skopeo", *choice, "inspect", "--config", f"oci:{self.directory}:latest"))

    def pull(self, architecture, directory):
        """The root file system that a machine of this architecture would get, unpacked below `directory`."""
        choice = ["--override-os=linux", f"--override-arch={architecture}"]
        layout = os.path.join(directory, "layout")
        _call("skopeo", "--insecure-policy", *choice, "copy", f"oci:{self.directory}:latest", f"oci:{layout}:latest")
        root = os.path.join(directory, "root")
        _call("umoci", "raw", "unpack", "--rootless", "--image", f"{layout}:latest", root)
        return root


def _call(*command):
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout
