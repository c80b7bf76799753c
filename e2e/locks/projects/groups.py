"""Dependency groups: defaults, alone, by two ways, in conflict, with a Python of their own."""

from locks.project import Project, pure

GROUPS = [
    Project(
        "default-groups",
        """
        [project]
        name = "default-groups"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["base"]
        [dependency-groups]
        dev = ["tester"]
        docs = ["writer"]
        lint = ["linter; python_version >= '3.12'", { include-group = "docs" }]
        """,
        [*pure("base"), *pure("tester", requires=["base"]), *pure("writer"), *pure("linter")],
        [
            "",
            "--no-default-groups",
            "--group docs",
            "--group lint",
            "--only-group docs",
            "--only-group lint --only-group dev",
            "--no-default-groups --group lint",
            "--group nothing",
        ],
    ),
    Project(
        "named-default-groups",
        """
        [project]
        name = "named-default-groups"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["base"]
        [dependency-groups]
        dev = ["tester"]
        docs = ["writer"]
        lint = ["linter"]
        [tool.uv]
        default-groups = ["docs", "lint"]
        """,
        [*pure("base"), *pure("tester"), *pure("writer"), *pure("linter")],
        ["", "--group dev", "--no-default-groups", "--only-group dev"],
    ),
    Project(
        "all-default-groups",
        """
        [project]
        name = "all-default-groups"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["base"]
        [dependency-groups]
        docs = ["writer"]
        lint = ["linter"]
        [tool.uv]
        default-groups = "all"
        """,
        [*pure("base"), *pure("writer"), *pure("linter")],
        ["", "--no-default-groups", "--only-group lint"],
    ),
    Project(
        "group-by-two-ways",
        """
        [project]
        name = "group-by-two-ways"
        version = "1"
        requires-python = ">=3.10"
        [dependency-groups]
        base = ["tool", "only-arm; platform_machine == 'aarch64'"]
        left = [{ include-group = "base" }, "left-tool"]
        right = [{ include-group = "base" }, "right-tool"]
        dev = [{ include-group = "left" }, { include-group = "right" }, { include-group = "base" }]
        """,
        [*pure("tool"), *pure("only-arm"), *pure("left-tool", requires=["tool"]), *pure("right-tool")],
        ["", "--only-group left", "--only-group right --only-group left", "--no-default-groups --group base"],
    ),
    Project(
        "conflicting-groups",
        """
        [project]
        name = "conflicting-groups"
        version = "1"
        requires-python = ">=3.10"
        [dependency-groups]
        g1 = ["a", "b<2"]
        g2 = ["a", "b>=2"]
        both = [{ include-group = "g1" }, "c"]
        [tool.uv]
        conflicts = [[{ group = "g1" }, { group = "g2" }], [{ group = "both" }, { group = "g2" }]]
        """,
        # A cycle that goes through another record in each group.
        [
            *pure("a", requires=["b"]),
            *pure("b", "1", requires=["a", "one"]),
            *pure("b", "2", requires=["a", "two"]),
            *pure("one"),
            *pure("two"),
            *pure("c", requires=["b"]),
        ],
        ["", "--group g1", "--group g2", "--only-group g1", "--only-group both", "--group g1 --group g2"],
    ),
    Project(
        "group-against-extra",
        """
        [project]
        name = "group-against-extra"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["user"]
        [project.optional-dependencies]
        old = ["tool<2"]
        [dependency-groups]
        new = ["tool>=2"]
        own = ["group-against-extra[old]"]
        [tool.uv]
        conflicts = [[{ extra = "old" }, { group = "new" }], [{ group = "own" }, { group = "new" }]]
        """,
        [*pure("tool", "1", "2"), *pure("user", requires=["tool"])],
        ["", "--extra old", "--group new", "--group own", "--only-group new", "--extra old --group new"],
    ),
    Project(
        "group-with-a-python",
        """
        [project]
        name = "group-with-a-python"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["base"]
        [dependency-groups]
        late = ["tool"]
        early = ["tool"]
        [tool.uv.dependency-groups]
        late = { requires-python = ">=3.12" }
        early = { requires-python = ">=3.10" }
        """,
        [*pure("base"), *pure("tool")],
        ["", "--group late", "--group early", "--only-group late"],
    ),
    Project(
        "legacy-dev-dependencies",
        """
        [project]
        name = "legacy-dev-dependencies"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["base"]
        [dependency-groups]
        docs = ["writer"]
        [tool.uv]
        dev-dependencies = ["tester", "base[x]"]
        """,
        [*pure("base", extras={"x": ["extra-of-base"]}), *pure("tester"), *pure("writer"), *pure("extra-of-base")],
        ["", "--no-default-groups", "--only-group dev", "--group docs"],
    ),
]
