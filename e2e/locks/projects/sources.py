"""What is not from the one index: other indexes, addresses, archives, directories, git."""

from locks.packages import Package
from locks.project import Project, built_tree, pure

SOURCES = [
    Project(
        "two-indexes",
        # The same version of a package from each, in files that can be told apart.
        """
        [project]
        name = "two-indexes"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["user"]
        [project.optional-dependencies]
        cpu = ["engine==1"]
        gpu = ["engine==1"]
        [tool.uv]
        conflicts = [[{ extra = "cpu" }, { extra = "gpu" }]]
        [tool.uv.sources]
        engine = [
            { index = "first", extra = "cpu" },
            { index = "second", extra = "gpu" },
        ]
        [[tool.uv.index]]
        name = "first"
        url = "{index}"
        explicit = true
        [[tool.uv.index]]
        name = "second"
        url = "{second}"
        explicit = true
        """,
        [*pure("user", requires=["engine"]), *pure("engine", "1"), *pure("driver")],
        ["", "--extra cpu", "--extra gpu"],
        second=[Package("engine", "1", wheels=["7-py3-none-any"], requires=["driver"])],
    ),
    Project(
        "index-by-platform",
        """
        [project]
        name = "index-by-platform"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["engine", "user"]
        [tool.uv.sources]
        engine = [
            { index = "second", marker = "platform_machine == 'x86_64'" },
        ]
        [[tool.uv.index]]
        name = "second"
        url = "{second}"
        explicit = true
        """,
        [*pure("user", requires=["engine"]), *pure("engine", "1")],
        second=[Package("engine", "1+gpu", wheels=["py3-none-manylinux_2_17_x86_64"])],
    ),
    Project(
        "addresses",
        """
        [project]
        name = "addresses"
        version = "1"
        requires-python = ">=3.10"
        dependencies = [
            "by-wheel @ {files}/by_wheel-1-py3-none-any.whl",
            "by-archive @ {files}/by_archive-1.tar.gz",
            "engine @ {files}/engine-1-py3-none-manylinux_2_17_x86_64.whl ; platform_machine == 'x86_64'",
            "engine @ {files}/engine-1-py3-none-manylinux_2_17_aarch64.whl ; platform_machine == 'aarch64'",
        ]
        """,
        [
            *pure("by-wheel", requires=["base"]),
            Package("by-archive", "1", wheels=[], sdist=True, requires=["base"]),
            *pure("base"),
            Package("engine", "1", wheels=["py3-none-manylinux_2_17_x86_64", "py3-none-manylinux_2_17_aarch64"]),
        ],
    ),
    Project(
        "archives",
        """
        [project]
        name = "archives"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["as-wheel", "as-archive"]
        [tool.uv.sources]
        as-wheel = { path = "archives/as_wheel-1-py3-none-any.whl" }
        as-archive = { path = "archives/as_archive-1.tar.gz" }
        """,
        [*pure("base")],
        files={
            **{f"archives/{name}": content for name, content in Package("as-wheel", "1", ["base"]).files().items()},
            **{
                f"archives/{name}": content
                for name, content in Package("as-archive", "1", ["base"], wheels=[], sdist=True).files().items()
            },
        },
    ),
    Project(
        "directories",
        """
        [project]
        name = "directories"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["plain", "linked", "unbuilt"]
        [tool.uv.sources]
        plain = { path = "plain" }
        linked = { path = "linked", editable = true }
        unbuilt = { path = "unbuilt", package = false }
        """,
        [*pure("base"), *pure("deep")],
        files={
            **built_tree("plain", Package("plain", "1", requires=["base"])),
            **built_tree("linked", Package("linked", "1", requires=["base"])),
            "unbuilt/pyproject.toml": """
            [project]
            name = "unbuilt"
            version = "1"
            requires-python = ">=3.10"
            dependencies = ["deep"]
            """,
        },
    ),
    Project(
        "git",
        """
        [project]
        name = "git"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["at-the-top", "below"]
        [tool.uv.sources]
        at-the-top = { git = "{repository}" }
        below = { git = "{repository}", subdirectory = "below", branch = "main" }
        """,
        [*pure("base")],
        git={
            **built_tree(".", Package("at-the-top", "1", requires=["base"])),
            **built_tree("below", Package("below", "1", requires=["base"])),
        },
    ),
    Project(
        "found-links",
        """
        [project]
        name = "found-links"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["here", "base"]
        [tool.uv]
        find-links = ["wheels"]
        """,
        [*pure("base")],
        files={
            f"wheels/{name}": content
            for package in [Package("here", "1", wheels=["py3-none-any", "2-py3-none-any"], sdist=True)]
            for name, content in package.files().items()
        },
    ),
    Project(
        "itself",
        """
        [project]
        name = "itself"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["base"]
        [project.optional-dependencies]
        more = ["extra"]
        [dependency-groups]
        dev = ["itself[more]"]
        """,
        [*pure("base"), *pure("extra")],
        ["", "--no-default-groups", "--only-group dev", "--extra more"],
        built=True,
    ),
]
