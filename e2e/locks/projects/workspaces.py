"""Workspaces: members, what they ask of each other, roots that are no project, dynamic versions."""

from locks.packages import Package
from locks.project import Project, built_tree, pure

_DYNAMIC = """
[project]
name = "dynamic"
dynamic = ["version"]
requires-python = ">=3.10"
dependencies = ["base"]
[project.optional-dependencies]
more = ["extra"]
"""


WORKSPACES = [
    Project(
        "workspace",
        """
        [project]
        name = "workspace"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["first", "base"]
        [dependency-groups]
        dev = ["tester", "second[x]"]
        [tool.uv.sources]
        first = { workspace = true }
        second = { workspace = true }
        [tool.uv.workspace]
        members = ["packages/*"]
        """,
        [*pure("base"), *pure("tester"), *pure("extra"), *pure("deep", requires=["base"]), *pure("alone")],
        [
            "",
            "--package first",
            "--package second --extra x",
            "--package third",
            "--all-packages",
            "--all-packages --no-default-groups",
            "--only-group dev",
            "--package nothing",
        ],
        files={
            **built_tree(
                "packages/first",
                Package("first", "1"),
                """
[project]
name = "first"
version = "1"
requires-python = ">=3.10"
dependencies = ["second"]
[dependency-groups]
dev = ["deep"]
[tool.uv.sources]
second = { workspace = true }
""",
            ),
            **built_tree(
                "packages/second",
                Package("second", "1"),
                """
[project]
name = "second"
version = "1"
requires-python = ">=3.10"
dependencies = ["base"]
[project.optional-dependencies]
x = ["extra"]
""",
            ),
            # Nothing says how to build it: its requirements count, it is not installed.
            "packages/third/pyproject.toml": """
            [project]
            name = "third"
            version = "1"
            requires-python = ">=3.10"
            dependencies = ["alone"]
            """,
        },
    ),
    Project(
        "workspace-without-a-root-project",
        """
        [dependency-groups]
        dev = ["tester"]
        lint = ["linter; platform_machine == 'x86_64'", { include-group = "dev" }]
        [tool.uv.workspace]
        members = ["one", "two"]
        """,
        [*pure("base"), *pure("tester"), *pure("linter"), *pure("extra")],
        ["", "--group lint", "--only-group lint", "--package one", "--all-packages", "--no-default-groups"],
        files={
            **built_tree(
                "one",
                Package("one", "1"),
                """
[project]
name = "one"
version = "1"
requires-python = ">=3.10"
dependencies = ["base"]
""",
            ),
            **built_tree(
                "two",
                Package("two", "1"),
                """
[project]
name = "two"
version = "1"
requires-python = ">=3.10"
dependencies = ["one"]
[dependency-groups]
dev = ["extra"]
[tool.uv.sources]
one = { workspace = true }
""",
            ),
        },
    ),
    Project(
        "dynamic-versions",
        """
        [project]
        name = "dynamic-versions"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["dynamic"]
        [project.optional-dependencies]
        all = ["dynamic[more]"]
        [tool.uv.sources]
        dynamic = { workspace = true }
        [tool.uv.workspace]
        members = ["dynamic"]
        """,
        [*pure("base"), *pure("extra")],
        ["", "--extra all", "--package dynamic --all-extras"],
        # Only the backend knows the version, so that uv asks it for everything else as well.
        files=built_tree("dynamic", Package("dynamic", "3.1", requires=["base"], extras={"more": ["extra"]}), _DYNAMIC),
    ),
    Project(
        "conflicting-members",
        """
        [project]
        name = "conflicting-members"
        version = "1"
        requires-python = ">=3.10"
        [tool.uv]
        conflicts = [[{ package = "left" }, { package = "right" }]]
        [tool.uv.workspace]
        members = ["left", "right"]
        """,
        [*pure("tool", "1", "2"), *pure("user", requires=["tool"])],
        ["", "--package left", "--package right", "--all-packages"],
        files={
            f"{name}/pyproject.toml": f"""
            [project]
            name = "{name}"
            version = "1"
            requires-python = ">=3.10"
            dependencies = ["tool=={version}", "user"]
            """
            for name, version in [("left", 1), ("right", 2)]
        },
    ),
]
