"""What a wheel is for, by its own word and by that of the machine code in it."""

import json
import os
import struct
import zipfile

from harness.files import read
from harness.report import expect, expect_equal

# e_machine of ELF, and what the kernel calls such a machine.
MACHINES = {62: "x86_64", 183: "aarch64"}


class Wheel:
    """The one wheel of a directory, with the report beside it."""

    def __init__(self, directory):
        names = [name for name in os.listdir(directory) if name.endswith(".whl")]
        expect_equal(len(names), 1, f"wheels in {directory}")
        self.file_name = names[0]
        self.report = json.loads(read(os.path.join(directory, "report.json")))["built"]
        with zipfile.ZipFile(os.path.join(directory, self.file_name)) as wheel:
            self._files = {name: wheel.read(name) for name in wheel.namelist()}

    def tags(self):
        """Of the file `WHEEL` in it."""
        (text,) = [data for name, data in self._files.items() if name.endswith(".dist-info/WHEEL")]
        return sorted(line[5:] for line in text.decode().splitlines() if line.startswith("Tag: "))

    def machines(self):
        """Names of its modules, and the machines they are for."""
        return {name: machine(data, name) for name, data in self._files.items() if name.endswith(".so")}


def machine(data, name):
    expect(data[:4] == b"\x7fELF", f"{name} is not an ELF file")
    (number,) = struct.unpack_from("<H", data, 18)
    return MACHINES.get(number, number)
