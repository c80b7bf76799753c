"""Which file of a release it is: by tags, build tags, versions with a local part; or its sdist, or none."""

from locks.packages import Package
from locks.project import Project

_TWO = ["x86_64", "aarch64"]

FILES = [
    Project(
        "wheels-of-all-kinds",
        """
        [project]
        name = "wheels-of-all-kinds"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["build-tags", "stable", "libraries", "versions", "local", "old", "source", "much"]
        """,
        [
            Package("build-tags", "1", wheels=["py3-none-any", "2-py3-none-any", "10-py3-none-any", "9a-py3-none-any"]),
            Package(
                "stable",
                "1",
                wheels=[
                    *[f"cp{minor}-abi3-manylinux_2_17_{machine}" for minor in [39, 310, 311, 313] for machine in _TWO],
                    *[f"cp312-cp312-manylinux_2_17_{machine}" for machine in _TWO],
                    "py3-none-any",
                ],
            ),
            Package(
                "libraries",
                "1",
                wheels=[
                    *[f"py3-none-musllinux_1_2_{machine}" for machine in _TWO],
                    *[f"py3-none-manylinux_2_{minor}_{machine}" for minor in [17, 28, 36, 37] for machine in _TWO],
                    "py3-none-manylinux_2_5_x86_64.manylinux1_x86_64",
                    "py3-none-macosx_11_0_arm64",
                    "py3-none-win_amd64",
                ],
            ),
            Package("versions", "1", wheels=["py310-none-any", "py311-none-any", "py3-none-any", "py2.py3-none-any"]),
            Package(
                "local",
                "1.0+cpu.2",
                wheels=[f"cp3{minor}-cp3{minor}-linux_{m}" for minor in range(10, 14) for m in _TWO],
            ),
            Package(
                "old",
                "1",
                wheels=["cp312-cp312-manylinux2014_aarch64.manylinux_2_17_aarch64", "cp39-cp39-manylinux1_x86_64"],
                sdist=True,
            ),
            Package("source", "1", wheels=[], sdist=True),
            Package("much", "1", wheels=["py2-none-any", "py2.py3-none-any", "cp310.cp311.cp312-none-any"], sdist=True),
        ],
    ),
    Project(
        "no-file-here",
        """
        [project]
        name = "no-file-here"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["native"]
        """,
        [Package("native", "1", wheels=["py3-none-manylinux_2_17_aarch64", "cp312-cp312-manylinux_2_39_x86_64"])],
    ),
]
