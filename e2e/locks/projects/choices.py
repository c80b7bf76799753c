"""What the settings of the project make of it: no wheels, no builds, other versions."""

from locks.packages import Package
from locks.project import Project, pure

CHOICES = [
    Project(
        "no-binary-package",
        """
        [project]
        name = "no-binary-package"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["both", "wheel-only", "other"]
        [tool.uv]
        no-binary-package = ["both"]
        """,
        [Package("both", "1", sdist=True), *pure("wheel-only"), Package("other", "1", sdist=True)],
    ),
    Project(
        "no-binary-without-an-sdist",
        """
        [project]
        name = "no-binary-without-an-sdist"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["wheel-only"]
        """,
        pure("wheel-only"),
        afterwards="""
        [tool.uv]
        no-binary-package = ["wheel-only"]
        """,
        never=True,
    ),
    Project(
        "no-build-package",
        """
        [project]
        name = "no-build-package"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["both"]
        [project.optional-dependencies]
        source = ["source-only"]
        """,
        [Package("both", "1", sdist=True), Package("source-only", "1", wheels=[], sdist=True)],
        ["", "--extra source"],
        afterwards="""
        [tool.uv]
        no-build-package = ["source-only", "both"]
        """,
    ),
    Project(
        "no-build",
        """
        [project]
        name = "no-build"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["here-and-there"]
        """,
        [Package("here-and-there", "1", wheels=["py3-none-manylinux_2_17_x86_64"], sdist=True)],
        afterwards="""
        [tool.uv]
        no-build = true
        """,
    ),
    Project(
        "no-binary",
        """
        [project]
        name = "no-binary"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["both"]
        [dependency-groups]
        more = ["wheel-only"]
        """,
        [Package("both", "1", sdist=True), *pure("wheel-only")],
        ["", "--group more"],
        afterwards="""
        [tool.uv]
        no-binary = true
        """,
    ),
    Project(
        "versions-of-all-kinds",
        """
        [project]
        name = "versions-of-all-kinds"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["early>=2.0a1", "late", "epoch", "overridden", "bound", "user"]
        [tool.uv]
        override-dependencies = ["overridden==1"]
        constraint-dependencies = ["bound<2"]
        """,
        [
            *pure("early", "1", "2.0a1"),
            *pure("late", "1.0", "1.0.post1", "2.0rc1"),
            *pure("epoch", "9", "1!1.0"),
            *pure("overridden", "1", "2"),
            *pure("bound", "1", "2"),
            *pure("user", requires=["overridden>=2", "bound"]),
        ],
    ),
]
