"""Wheels built from sdists, each on a worker whose platform is the target's.

Everything here works in Bazel 4.2, 7, 8 and 9 alike. What differs from one model to another is in platforms.bzl.
"""

load(":platforms.bzl", "CONSTRAINTS", "CROSSWHEEL_CONTRACT", "PACKAGE", "PLATFORMS", "WORKER_PATH")

PySdistWheelInfo = provider(
    doc = "A wheel that is built from an sdist.",
    fields = {
        "directory": "File: the directory with the wheel under its real name, and the report.",
        "glibc": "string: newest glibc the wheel may need, such as 2.36; None if that is the worker's, or with musl.",
        "name": "string: the project's name, normalised as in PEP 503.",
        "platform_tag": "string: how tags spell the platform of a wheel with compiled code, such as linux_aarch64.",
        "python": "string: the Python that builds, as crosswheel is told; None if that is the worker's Python 3.",
        "python_tag": "string: the tag of CPython of that version, such as cp311; None if it is not known here.",
        "report": "string: the report's path in the directory.",
        "target": "string: the platform the wheel is for, such as linux_arm64.",
        "version": "string: the project's version.",
    },
)

PyWheelPlatformsInfo = provider(
    doc = "One wheel for each of several platforms.",
    fields = {
        "wheels": "dict: a platform's label as `//package:name` to the PySdistWheelInfo of the wheel for it.",
    },
)

_REPORT = "report.json"

# Of archives; the longest that fits is cut off.
_SUFFIXES = [".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".tar", ".zip"]

_LIMITS = ["bytes", "depth", "members", "ratio"]

# How wheel tags spell the platforms that crosswheel builds for.
_PLATFORM_TAGS = {
    "linux_amd64": "linux_x86_64",
    "linux_arm64": "linux_aarch64",
}

# An empty toolchain: it only says for which platform it was chosen.

def _placement_impl(ctx):
    return [platform_common.ToolchainInfo(
        libc = ctx.attr.libc,
        platform = ctx.attr.platform,
        python = ctx.attr.python,
        target = ctx.attr.target,
    )]

placement = rule(
    doc = "A toolchain without files. That its execution and target constraints are equal is what places builds.",
    implementation = _placement_impl,
    attrs = {
        "libc": attr.string(doc = "The C library, such as glibc-2.36."),
        "platform": attr.string(doc = "Name of the platform; without one, it stands for builds that find no place."),
        "python": attr.string(doc = "The Python, such as 3.11."),
        "target": attr.string(doc = "The platform as crosswheel calls it, such as linux_arm64."),
    },
)

# A build's exec group resolves to a toolchain of this type, and so to a platform like the target's.
_PLACEMENT_TYPE = Label(PACKAGE + ":toolchain_type")

# One type and one exec group per platform: whether a platform like it is registered.
_REGISTERED_TYPES = [Label("%s:%s_registered" % (PACKAGE, platform.name)) for platform in PLATFORMS]

def _toolchain(label):
    """A toolchain that may be missing, so that we can say why. Bazel 4 has none; there, `unplaced` is found instead."""
    if hasattr(config_common, "toolchain_type"):
        return config_common.toolchain_type(label, mandatory = False)
    return str(label)

_EXEC_GROUPS = dict(
    {
        "registered_%d" % index: exec_group(toolchains = [_toolchain(_REGISTERED_TYPES[index])])
        for index in range(len(PLATFORMS))
    },
    target = exec_group(toolchains = [_toolchain(_PLACEMENT_TYPE)]),
)

def _label_text(label):
    """As people write it: `//pkg:name` for what is in the main repository, where newer Bazels say `@@//pkg:name`."""
    text = str(label)
    bare = text.lstrip("@")
    return bare if bare.startswith("//") else text

def _find(ctx, group, toolchain_type):
    found = ctx.exec_groups[group].toolchains[toolchain_type]
    return found if found and found.platform else None

def _place(ctx):
    """Where the target platform's builds run; fails with the reason if there is no such place."""
    place = _find(ctx, "target", _PLACEMENT_TYPE)
    if not place:
        fail(_unplaced(ctx))
    return place

def _unplaced(ctx):
    registered = [
        platform
        for index, platform in enumerate(PLATFORMS)
        if _find(ctx, "registered_%d" % index, _REGISTERED_TYPES[index])
    ]
    wanted = [
        constraint.label.name
        for constraint in ctx.attr._constraints
        if ctx.target_platform_has_constraint(constraint[platform_common.ConstraintValueInfo])
    ]
    target = _label_text(ctx.fragments.platform.platform)
    lines = [
        "no registered execution platform is like the target platform, so nothing can build this wheel.",
        "  target platform: %s (%s)" % (target, ", ".join(wanted) or "nothing that is known here"),
    ]
    for platform in registered:
        lines.append("  registered:      %s:%s (%s)" % (PACKAGE, platform.name, ", ".join(platform.constraints)))
    if not registered:
        lines.append("  registered:      none of %s" % PACKAGE)
    offered = [constraint for platform in registered for constraint in platform.constraints]
    for constraint in wanted:
        if constraint not in offered:
            lines.append("  no registered one has: %s" % constraint)
    return "\n".join(lines + _advice(wanted, registered))

def _advice(wanted, registered):
    """What to do about it: lines to add."""
    for platform in PLATFORMS:
        if sorted(platform.constraints) == sorted(wanted):
            return [
                "%s:%s is what it takes. Register it, in MODULE.bazel or WORKSPACE:" % (PACKAGE, platform.name),
                "  register_execution_platforms(\"%s:%s\")" % (PACKAGE, platform.name),
                "  register_toolchains(\"%s:all\")" % PACKAGE,
                "or in .bazelrc:",
                "  build --extra_execution_platforms=%s:%s" % (PACKAGE, platform.name),
                "  build --extra_toolchains=%s:all" % PACKAGE,
            ]
    lines = ["Build for a platform that there is a place for:"]
    for platform in registered or PLATFORMS:
        lines.append("  --platforms=%s:%s" % (PACKAGE, platform.name))
    return lines + [
        "or add one with these constraints to the model of %s, and let `crosswheel generate bazel` write it." % PACKAGE,
    ]

# Names, from files: PEP 625, and what was usual before it.

def _split_sdist_name(file_name):
    """`Some.Name-1.0.tar.gz` to `Some.Name` and `1.0`; None for what cannot be told."""
    stem = None
    for suffix in _SUFFIXES:
        if stem == None and file_name.endswith(suffix):
            stem = file_name[:-len(suffix)]
    parts = stem.split("-") if stem else []

    # The version begins behind the last dash that a digit follows ...
    starts = [at for at in range(1, len(parts)) if parts[at][:1].isdigit()]
    if not starts:
        return None, None
    start = starts[-1]

    # ... or behind the one before, if what follows is the number of a post-release, as in 1.0-2.
    if start - 1 in starts and start == len(parts) - 1 and parts[start].isdigit():
        start -= 1
    return "-".join(parts[:start]), "-".join(parts[start:])

def _normalise(name):
    """As in PEP 503: lower case, one dash for each run of dashes, underscores and dots."""
    words = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join([word for word in words if word])

def _minor_version(python):
    """`3.11` of 3.11, 3.11.7, python3.11 and /usr/bin/python3.11; None for what does not tell."""
    text = python.split("/")[-1]
    if text.startswith("python"):
        text = text[len("python"):]
    elif "/" in python:
        return None
    parts = text.split(".")
    if len(parts) < 2 or parts[0] != "3" or [part for part in parts if not part.isdigit()]:
        return None
    return "3." + parts[1]

def _python_tag(version):
    return "cp" + version.replace(".", "") if version else None

# Wheels

def _python(ctx, place):
    """What to tell crosswheel of the Python, the minor version it must have, if any, and the files that come with it."""
    if ctx.attr.python and ctx.attr.interpreter:
        fail("python and interpreter contradict each other: give one of them")
    if ctx.attr.interpreter:
        runs = ctx.attr.interpreter[DefaultInfo]
        executable = runs.files_to_run.executable if runs.files_to_run else None
        files = runs.files.to_list()
        if not executable and len(files) == 1:
            executable = files[0]
        if not executable:
            fail("interpreter: %s is neither a program nor a single file" % _label_text(ctx.attr.interpreter.label))
        transitive = [runs.files] + ([runs.default_runfiles.files] if runs.default_runfiles else [])
        return executable.path, place.python or None, depset([executable], transitive = transitive)
    version = _minor_version(ctx.attr.python)
    if place.python and version not in [None, place.python]:
        fail("python is %s, but the target platform %s:%s has Python %s" % (
            ctx.attr.python,
            PACKAGE,
            place.platform,
            place.python,
        ))
    return ctx.attr.python or place.python or None, place.python or version, depset()

def _glibc(ctx, place):
    if ctx.attr.glibc == "worker":
        return None
    if ctx.attr.glibc and place.libc == "musl":
        fail("glibc is %s, but the target platform %s:%s has musl" % (ctx.attr.glibc, PACKAGE, place.platform))
    if ctx.attr.glibc:
        return ctx.attr.glibc
    return place.libc[len("glibc-"):] if place.libc.startswith("glibc-") else None

def _build_wheels(ctx):
    wheels = []
    for target in ctx.attr.build_wheels:
        if PySdistWheelInfo in target:
            wheels.append(target[PySdistWheelInfo].directory)
            continue
        files = target[DefaultInfo].files.to_list()
        for file in files:
            if not file.is_directory and file.extension != "whl":
                fail("build_wheels: %s of %s is neither a wheel nor a directory" % (
                    file.short_path,
                    _label_text(target.label),
                ))
        wheels.extend(files)
    return wheels

def _py_sdist_wheel_impl(ctx):
    place = _place(ctx)
    name, version = _split_sdist_name(ctx.file.src.basename)
    name = ctx.attr.project or name
    version = ctx.attr.version or version
    if not name or not version:
        fail("src: cannot tell name and version from the file name `%s`: give project and version" % ctx.file.src.basename)
    python, python_version, python_files = _python(ctx, place)
    glibc = _glibc(ctx, place)
    build_wheels = _build_wheels(ctx)
    for limit in ctx.attr.limits:
        if limit not in _LIMITS:
            fail("limits: there is no limit `%s`, only %s" % (limit, ", ".join(_LIMITS)))

    directory = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add("wheel")
    args.add(ctx.file.src)
    args.add_all([directory], format_each = "--out=%s", expand_directories = False)
    args.add_all([directory], format_each = "--report=%s/" + _REPORT, expand_directories = False)
    args.add("--target=" + place.target)
    if python:
        args.add("--python=" + python)
    if glibc:
        args.add("--glibc=" + glibc)

    # What the provider says; whatever turns out to be something else is refused.
    args.add("--expect-name=" + _normalise(name))
    args.add("--expect-version=" + version)
    if python_version:
        args.add("--expect-python=" + python_version)
    if place.libc:
        args.add("--expect-libc=" + place.libc.split("-")[0])
    args.add_all(build_wheels, format_each = "--build-wheels=%s", expand_directories = False)
    args.add("--expect=" + ctx.attr.expect)
    args.add_all(ctx.files.patches, format_each = "--patch=%s")
    if ctx.files.patches:
        args.add("--patch-strip=%d" % ctx.attr.patch_strip)
    crates = ctx.files.crates
    args.add_all(crates, format_each = "--crates=%s", expand_directories = False)
    for key, values in sorted(ctx.attr.config_settings.items()):
        for value in values:
            args.add("--config-setting=%s=%s" % (key, value))
    for key, value in sorted(ctx.attr.env.items()):
        args.add("--env=%s=%s" % (key, value))
    if ctx.attr.timeout:
        args.add("--timeout=%d" % ctx.attr.timeout)
    for limit, value in sorted(ctx.attr.limits.items()):
        args.add("--limit-%s=%s" % (limit, value))
    args.add("--sandbox=required")
    args.add("--quiet")

    ctx.actions.run(
        outputs = [directory],
        inputs = depset([ctx.file.src] + build_wheels + ctx.files.patches + crates, transitive = [python_files]),
        # Workers of crosswheel run themselves; others have it on their PATH.
        executable = "crosswheel",
        arguments = [args],
        # Nothing else may be set, lest the worker keep its cache from the build.
        env = {
            "CROSSWHEEL_CONTRACT": CROSSWHEEL_CONTRACT,
            "PATH": WORKER_PATH,
        },
        exec_group = "target",
        mnemonic = "PySdistBuild",
        progress_message = "Building the wheel of %s %s for %s" % (name, version, place.platform),
    )
    return [
        DefaultInfo(files = depset([directory]), runfiles = ctx.runfiles(files = [directory])),
        PySdistWheelInfo(
            directory = directory,
            glibc = glibc,
            name = _normalise(name),
            platform_tag = _PLATFORM_TAGS[place.target],
            python = python,
            python_tag = _python_tag(python_version),
            report = _REPORT,
            target = place.target,
            version = version,
        ),
    ]

py_sdist_wheel = rule(
    doc = """Builds the wheel of an sdist for the target platform, on an execution platform that is like it.

One action, `crosswheel wheel`, whose output is a directory: the wheel under its real name, and report.json. The wheel
is verified: name, version, tags, ELF machine, glibc. Nothing is fetched; what the build requires is in build_wheels.
For musl, only pure wheels are built so far.""",
    implementation = _py_sdist_wheel_impl,
    attrs = {
        "build_wheels": attr.label_list(
            allow_files = True,
            doc = "Wheels of the build requirements: files, directories of them, or other py_sdist_wheel targets.",
        ),
        "config_settings": attr.string_list_dict(
            doc = "Settings for the build backend (PEP 517 config_settings).",
        ),
        "crates": attr.label(
            allow_single_file = True,
            doc = "Directory of the crates that a Rust extension needs, as `cargo vendor` writes it.",
        ),
        "env": attr.string_dict(
            doc = "Variables for the build's environment; PATH, CFLAGS and CXXFLAGS are joined to crosswheel's.",
        ),
        "expect": attr.string(
            default = "auto",
            doc = "Whether the wheel must hold compiled code. auto refuses a pure wheel if a compiler failed.",
            values = ["any", "auto", "native", "pure"],
        ),
        "glibc": attr.string(
            doc = "Newest glibc the wheel may need, such as 2.28; `worker` for that of the worker's Python. " +
                  "Without it: the target platform's.",
        ),
        "interpreter": attr.label(
            allow_files = True,
            doc = "The Python that builds, if it comes from this build and not from the worker. " +
                  "It must be the target platform's, if that names one.",
        ),
        "limits": attr.string_dict(
            doc = "Limits on the sdist: bytes, members, ratio, depth (see `crosswheel wheel --help`).",
        ),
        "patch_strip": attr.int(
            default = 1,
            doc = "Leading directories to drop from the names in patches.",
        ),
        "patches": attr.label_list(
            allow_files = True,
            doc = "Patch files for the sources, in this order.",
        ),
        "project": attr.string(
            doc = "The project's name, if the sdist's file name does not tell.",
        ),
        "python": attr.string(
            doc = "The worker's Python that builds: a version (3.11), a command or an absolute path. " +
                  "Without it: the target platform's, or the worker's `3`.",
        ),
        "src": attr.label(
            allow_single_file = True,
            doc = "The sdist.",
            mandatory = True,
        ),
        "timeout": attr.int(
            doc = "End the build after this many seconds; 0 for never.",
        ),
        "version": attr.string(
            doc = "The project's version, if the sdist's file name does not tell.",
        ),
        "_constraints": attr.label_list(
            default = CONSTRAINTS,
            providers = [platform_common.ConstraintValueInfo],
        ),
    },
    exec_groups = _EXEC_GROUPS,
    fragments = ["platform"],
    provides = [PySdistWheelInfo],
)

# Several platforms

def _each_platform_impl(_settings, attr):
    return {str(platform): {"//command_line_option:platforms": str(platform)} for platform in attr.platforms}

_each_platform = transition(
    implementation = _each_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

def _py_wheel_platforms_impl(ctx):
    wheels = {_label_text(platform): wheel[PySdistWheelInfo] for platform, wheel in ctx.split_attr.wheel.items()}
    groups = {}
    for platform, wheel in wheels.items():
        group = platform.split(":")[-1].split("/")[-1]
        if group in groups:
            fail("platforms: two are called `%s`, and so would be their output groups" % group)
        groups[group] = depset([wheel.directory])
    directories = [wheel.directory for wheel in wheels.values()]
    return [
        DefaultInfo(files = depset(directories), runfiles = ctx.runfiles(files = directories)),
        OutputGroupInfo(**groups),
        PyWheelPlatformsInfo(wheels = wheels),
    ]

py_wheel_platforms = rule(
    doc = "Builds a py_sdist_wheel for several platforms. Each has an output group of the platform's name.",
    implementation = _py_wheel_platforms_impl,
    attrs = {
        "platforms": attr.label_list(
            default = ["%s:%s" % (PACKAGE, platform.name) for platform in PLATFORMS],
            doc = "The platforms; without them: all of this package.",
            providers = [platform_common.PlatformInfo],
        ),
        "wheel": attr.label(
            cfg = _each_platform,
            doc = "The wheel.",
            mandatory = True,
            providers = [PySdistWheelInfo],
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)
