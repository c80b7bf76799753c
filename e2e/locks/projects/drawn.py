"""Projects drawn at random from everything that the others show one by one, the same for the same seed. Does not know
which of them can be locked."""

import random

from locks.packages import Package
from locks.project import Project, built_tree

_ATOMS = [
    "python_version < '3.12'",
    "python_version >= '3.12'",
    "python_full_version >= '3.11.4'",
    "platform_machine == 'aarch64'",
    "platform_machine == 'x86_64'",
    "platform_machine != 'aarch64'",
    "sys_platform == 'linux'",
    "sys_platform == 'win32'",
    "implementation_name == 'cpython'",
    "os_name == 'posix'",
]

_WHEELS = [
    "py3-none-any",
    "1-py3-none-any",
    "10-py3-none-any",
    "py2.py3-none-any",
    "cp311-none-any",
    *[
        f"{python}-{platform}_{machine}"
        for python in ["py3-none", "cp310-abi3", "cp312-abi3", "cp311-cp311", "cp312-cp312", "2-cp312-cp312"]
        for platform in ["manylinux_2_17", "manylinux_2_35", "manylinux_2_38", "musllinux_1_2", "linux"]
        for machine in ["x86_64", "aarch64"]
    ],
]


def drawn(seed, number):
    """The first `number` of a seed."""
    return [_Draw(f"{seed}-{index}").project() for index in range(number)]


class _Draw:
    def __init__(self, name):
        self._name = f"drawn-{name}"
        self._random = random.Random(name)
        self._names = [f"p{index}" for index in range(self._random.randint(4, 9))]
        self._extras = {name: self._some(["x", "y", "z"], 2) for name in self._names}
        # Those that there are two of, which is what projects are in conflict about.
        self._twice = self._some(self._names, 2)
        self._member = self._chance(0.3)

    def project(self):
        packages = [
            self._package(name, version) for name in self._names for version in ["1", "2"][: 1 + (name in self._twice)]
        ]
        extras, groups = self._some(["e1", "e2", "e3"], 3), self._some(["dev", "g1", "g2"], 3)
        conflicts = self._conflicts(extras, groups)
        text = f'[project]\nname = "{self._name}"\nversion = "1"\nrequires-python = ">=3.10"\n'
        text += f"dependencies = {self._requirements(3, with_member=True)}\n"
        text += "[project.optional-dependencies]\n"
        text += "".join(f"{extra} = {self._bound(extra, conflicts)}\n" for extra in extras)
        text += "[dependency-groups]\n"
        for index, group in enumerate(groups):
            included = [f'{{ include-group = "{other}" }}' for other in self._some(groups[:index], 1)]
            # What is included would be in conflict as well, without being declared so.
            included = [] if conflicts else included
            wanted = [f'"{requirement}"' for requirement in self._bound(group, conflicts)]
            text += f"{group} = [{', '.join(wanted + included)}]\n"
        text += "[tool.uv]\n"
        if self._chance(0.2) and groups:
            text += f"default-groups = {self._some(groups, 2)}\n"
        if conflicts:
            items = [f'{{ {"group" if item in groups else "extra"} = "{item}" }}' for item in conflicts]
            text += f"conflicts = [[{', '.join(items)}]]\n"
        files = {}
        if self._member:
            text += '[tool.uv.sources]\nm = { workspace = true }\n[tool.uv.workspace]\nmembers = ["m"]\n'
            files = self._member_files()
        asked = [""] + [self._question(extras, groups) for _ in range(5)]
        return Project(self._name, text, packages, list(dict.fromkeys(asked)), files=files, drawn=True)

    def _package(self, name, version):
        wheels = self._some(_WHEELS, 8)
        # Mostly one that can be installed everywhere, as otherwise there would be little to compare.
        if self._chance(0.8) and "py3-none-any" not in wheels:
            wheels.append("py3-none-any")
        return Package(
            name,
            version,
            requires=self._requirements(2),
            extras={extra: self._requirements(2) for extra in self._extras[name]},
            wheels=wheels,
            sdist=self._chance(0.4) or not wheels,
        )

    def _member_files(self):
        extras = {extra: self._requirements(2) for extra in self._extras_of_member()}
        text = f'[project]\nname = "m"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = {self._requirements(2)}\n'
        text += "[project.optional-dependencies]\n"
        text += "".join(f"{extra} = {requirements}\n" for extra, requirements in extras.items())
        return built_tree("m", Package("m", "1"), text)

    def _requirements(self, most, with_member=False):
        """Requirements of any package, with extras and markers at random."""
        names = self._names + (["m"] * 2 if with_member and self._member else [])
        chosen = self._some(list(dict.fromkeys(self._random.sample(names, len(names)))), most)
        return [self._requirement(name) for name in chosen]

    def _requirement(self, name):
        extras = self._extras_of_member() if name == "m" else self._extras[name]
        asked = self._some(extras, 2) if self._chance(0.5) else []
        text = f"{name}[{','.join(asked)}]" if asked else name
        return f"{text} ; {self._marker()}" if self._chance(0.35) else text

    def _extras_of_member(self):
        return ["x"]

    def _marker(self):
        atoms = self._random.sample(_ATOMS, self._random.randint(1, 3))
        marker = atoms[0]
        for atom in atoms[1:]:
            marker = f"({marker}) {self._random.choice(['and', 'or'])} {atom}"
        return marker

    def _conflicts(self, extras, groups):
        if not self._twice or self._chance(0.4):
            return []
        items = self._some(extras + groups, 3)
        return items if len(items) > 1 else []

    def _bound(self, item, conflicts):
        """What an extra or group needs; those in conflict need different versions of something."""
        requirements = self._requirements(2)
        if item in conflicts:
            requirements.append(f"{self._twice[0]}=={1 + conflicts.index(item) % 2}")
        return requirements

    def _question(self, extras, groups):
        if self._chance(0.15) and extras:
            return "--all-extras"
        words = [f"--extra {extra}" for extra in self._some(extras, 2)]
        words += [f"--group {group}" for group in self._some(groups, 2)]
        if self._chance(0.2) and groups:
            words = [f"--only-group {group}" for group in self._random.sample(groups, 1)]
        elif self._chance(0.2):
            words.append("--no-default-groups")
        if self._member and self._chance(0.3):
            words = [self._random.choice(["--all-packages", "--package m", "--package m --extra x"])]
        return " ".join(words)

    def _some(self, items, most):
        return self._random.sample(items, self._random.randint(0, min(most, len(items))))

    def _chance(self, probability):
        return self._random.random() < probability
