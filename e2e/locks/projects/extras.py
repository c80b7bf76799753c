"""Extras: of the project, of what it needs, of extras, in conflict, in cycles."""

from locks.packages import Package
from locks.project import Project, built_tree, pure

EXTRAS = [
    Project(
        "conflicting-extras",
        """
        [project]
        name = "conflicting-extras"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["user"]
        [project.optional-dependencies]
        old = ["tool<2", "only-old"]
        new = ["tool>=2"]
        free = ["only-free"]
        [tool.uv]
        conflicts = [[{ extra = "old" }, { extra = "new" }]]
        """,
        [
            *pure("tool", "1"),
            *pure("tool", "2", requires=["helper"]),
            *pure("user", requires=["tool"]),
            *pure("helper"),
            *pure("only-old", requires=["tool"]),
            *pure("only-free"),
        ],
        ["", "--extra old", "--extra new", "--extra new --extra free", "--extra old --extra new", "--all-extras"],
    ),
    Project(
        "conflict-of-three",
        """
        [project]
        name = "conflict-of-three"
        version = "1"
        requires-python = ">=3.10"
        [project.optional-dependencies]
        a = ["tool==1; platform_machine == 'x86_64'", "tool==2; platform_machine != 'x86_64'"]
        b = ["tool==2", "more"]
        c = ["tool==3", "more[x]"]
        d = ["more"]
        [tool.uv]
        conflicts = [[{ extra = "a" }, { extra = "b" }, { extra = "c" }], [{ extra = "c" }, { extra = "d" }]]
        """,
        [
            *pure("tool", "1", "2", "3"),
            Package("more", "1", requires=["tool"], extras={"x": ["extra-of-more"]}),
            *pure("extra-of-more", requires=["tool"]),
        ],
        ["", "--extra a", "--extra b", "--extra c", "--extra b --extra d", "--extra c --extra d"],
    ),
    Project(
        "conflict-by-dependency",
        # An extra of a member that only another's dependency asks for makes that side of the conflict active.
        """
        [project]
        name = "conflict-by-dependency"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["member"]
        [project.optional-dependencies]
        left = ["member[one]"]
        right = ["member[two]"]
        [tool.uv]
        conflicts = [[{ package = "member", extra = "one" }, { package = "member", extra = "two" }]]
        [tool.uv.sources]
        member = { workspace = true }
        [tool.uv.workspace]
        members = ["member"]
        """,
        [*pure("tool", "1", "2"), *pure("user", requires=["tool"])],
        ["", "--extra left", "--extra right", "--extra left --extra right", "--package member --extra two"],
        files=built_tree(
            "member",
            Package("member", "1"),
            """
            [project]
            name = "member"
            version = "1"
            requires-python = ">=3.10"
            [project.optional-dependencies]
            one = ["tool<2", "user"]
            two = ["tool>=2", "user"]
            """,
        ),
    ),
    Project(
        "extras-of-extras",
        """
        [project]
        name = "extras-of-extras"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["lib[small]"]
        [project.optional-dependencies]
        all = ["extras-of-extras[a,b]"]
        a = ["lib[large]", "extras-of-extras[c]"]
        b = ["core[fast]; platform_machine == 'aarch64'"]
        c = ["lib[none]"]
        empty = []
        """,
        [
            Package(
                "lib",
                "1",
                requires=["core"],
                extras={"small": ["core[slow]"], "large": ["lib[small]", "heavy"], "none": []},
            ),
            Package("core", "1", extras={"fast": ["speed"], "slow": ["patience"]}),
            *pure("speed"),
            *pure("patience"),
            *pure("heavy", requires=["core[fast] ; platform_machine == 'x86_64'"]),
        ],
        ["", "--extra a", "--extra b", "--extra c", "--extra all", "--extra empty", "--all-extras", "--extra nothing"],
    ),
    Project(
        "cycles",
        """
        [project]
        name = "cycles"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["a"]
        [project.optional-dependencies]
        more = ["b[y]"]
        """,
        [
            Package("a", "1", requires=["b"], extras={"x": ["c", "b[y]"]}),
            Package("b", "1", requires=["a[x] ; platform_machine == 'aarch64'"], extras={"y": ["d", "a[x]"]}),
            *pure("c", requires=["a"]),
            *pure("d", requires=["d-again"]),
            *pure("d-again", requires=["d", "e ; python_version < '3.12'"]),
            *pure("e"),
        ],
        ["", "--extra more"],
    ),
    Project(
        "extras-by-the-way",
        # Who asks for the extra of a package is not who needs the package.
        """
        [project]
        name = "extras-by-the-way"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["p", "r; platform_machine == 'aarch64'"]
        """,
        [
            *pure("p", requires=["q ; sys_platform == 'win32'", "core"]),
            *pure("q", requires=["core[fast]"]),
            *pure("r", requires=["core[wide]"]),
            Package("core", "1", extras={"fast": ["speed"], "wide": ["breadth"]}),
            *pure("speed"),
            *pure("breadth"),
        ],
    ),
]
