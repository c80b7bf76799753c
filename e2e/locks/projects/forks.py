"""Several versions of a package in one lock, by platform, by Python, by the environments that are supported."""

from locks.project import Project, pure

FORKS = [
    Project(
        "fork-by-platform",
        """
        [project]
        name = "fork-by-platform"
        version = "1"
        requires-python = ">=3.10"
        dependencies = [
            "tool<2; platform_machine == 'x86_64'",
            "tool>=2; platform_machine != 'x86_64'",
            "user",
            "not-here; sys_platform == 'win32' or sys_platform == 'darwin'",
        ]
        """,
        [
            *pure("tool", "1", requires=["one"]),
            *pure("tool", "2", requires=["two"]),
            *pure("one"),
            *pure("two"),
            *pure("user", requires=["tool"]),
            *pure("not-here"),
        ],
    ),
    Project(
        "fork-by-python",
        """
        [project]
        name = "fork-by-python"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["tool", "cycle"]
        """,
        [
            *pure("tool", "1", requires_python=">=3.10"),
            *pure("tool", "2", requires_python=">=3.12", requires=["new"]),
            *pure("new", requires=["tool"]),
            *pure("cycle", requires=["part<2 ; python_version < '3.12'", "part>=2 ; python_version >= '3.12'"]),
            *pure("part", "1", requires=["cycle", "one"]),
            *pure("part", "2", requires=["cycle", "two"]),
            *pure("one"),
            *pure("two"),
        ],
    ),
    Project(
        "fork-inside-of-a-fork",
        """
        [project]
        name = "fork-inside-of-a-fork"
        version = "1"
        requires-python = ">=3.10"
        dependencies = [
            "ca; sys_platform == 'linux'",
            "tool==1; python_version < '3.12' and platform_machine == 'aarch64'",
            "tool==2; python_version >= '3.12' and platform_machine == 'aarch64'",
            "tool==3; platform_machine == 'x86_64'",
        ]
        """,
        [
            *pure("tool", "1", "2", "3"),
            *pure("ca", requires=["cb ; sys_platform == 'linux'"]),
            *pure("cb", requires=["ca ; sys_platform == 'linux'", "tool"]),
        ],
    ),
    Project(
        "supported-environments",
        """
        [project]
        name = "supported-environments"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["tool; platform_machine == 'aarch64'", "other; platform_machine != 'aarch64'", "user"]
        [tool.uv]
        environments = [
            "sys_platform == 'linux' and platform_machine == 'aarch64'",
            "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version >= '3.12'",
        ]
        """,
        # Where the last of them is: amd64 before Python 3.12 is not supported.
        [*pure("tool"), *pure("other"), *pure("user", requires=["tool ; sys_platform == 'linux'"])],
    ),
    Project(
        "required-environments",
        """
        [project]
        name = "required-environments"
        version = "1"
        requires-python = ">=3.10"
        dependencies = ["native"]
        [tool.uv]
        required-environments = ["sys_platform == 'linux' and platform_machine == 'aarch64'"]
        """,
        [
            *pure("native", "2", wheels=["py3-none-manylinux_2_17_x86_64"]),
            *pure("native", "1", wheels=["py3-none-manylinux_2_17_x86_64", "py3-none-manylinux_2_17_aarch64"]),
        ],
    ),
    Project(
        "python-by-its-patch-version",
        """
        [project]
        name = "python-by-its-patch-version"
        version = "1"
        requires-python = ">=3.11.5"
        dependencies = ["a; python_full_version >= '3.12.1'", "b; python_full_version < '3.12.1'", "c"]
        """,
        [*pure("a"), *pure("b"), *pure("c", requires=["a ; python_full_version >= '3.11.7'"])],
    ),
    Project(
        "markers-of-all-kinds",
        """
        [project]
        name = "markers-of-all-kinds"
        version = "1"
        requires-python = ">=3.10"
        dependencies = [
            "a; implementation_name == 'cpython' and platform_machine in 'x86_64 amd64'",
            "b; platform_python_implementation != 'CPython' or os_name == 'posix'",
            "c; 'arch' in platform_machine",
            "d; platform_system == 'Linux' and python_version not in '3.11 3.13'",
            "e; implementation_version >= '3.12'",
        ]
        """,
        [package for name in "abcde" for package in pure(name)],
    ),
]
