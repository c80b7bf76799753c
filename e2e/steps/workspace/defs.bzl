"""A venv, a source tree and a build as aspect_rules_py has them; itself it is not to be had offline.

They work in Bazel 4 and 7 alike, but for the symlinks of venvs: Bazel 4 cannot have unresolved ones as inputs.
"""

# What rules_py sets for a build, and the places of compilers.
_ENV = {
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "315532800",
}

_PLACED = {"target": exec_group(toolchains = ["//platforms:toolchain_type"])}

_PYTHON = "bin/python3.11"
_SITE_PACKAGES = "lib/python3.11/site-packages"

# For Bazel 4: finds itself and its standard library, as the interpreter does behind a symlink.
_LAUNCHER = """#!/bin/bash
here=${{0%/*}}
here=$(cd "$here" && pwd)
PYTHONHOME=$here/{home} exec -a "$here/python3" "$here/{home}/{python}" "$@"
"""

BuildVenvInfo = provider(
    doc = "A venv to build in.",
    fields = {
        "inputs": "depset of files: the venv, what its symlinks lead to, and the interpreter",
        "python": "string: path of its Python",
    },
)

def _up(directory):
    """From a directory to the exec root."""
    return "/".join([".."] * len(directory.split("/")))

def _root_of(files, marker):
    for file in files:
        if file.path.endswith("/" + marker):
            return file.path[:-len(marker) - 1]
    fail("none of these is %s" % marker)

def _venv_of_symlinks(ctx, interpreter):
    """`bin/python3` and the packages are symlinks that lead out of the venv."""
    targets = {"bin/python3": "%s/%s" % (interpreter, _PYTHON)}
    for wheel in ctx.attr.wheels:
        root = wheel.label.package + "/" + wheel.label.name
        for file in wheel[DefaultInfo].files.to_list():
            name = file.path[len(root) + 1:].split("/")[0]
            targets["%s/%s" % (_SITE_PACKAGES, name)] = "%s/%s" % (root, name)
    made = []
    for path, target in targets.items():
        symlink = ctx.actions.declare_symlink("%s/%s" % (ctx.label.name, path))
        ctx.actions.symlink(output = symlink, target_path = "%s/%s" % (_up(symlink.dirname), target))
        made.append(symlink)
    return made

def _venv_of_files(ctx, interpreter):
    """`bin/python3` is a launcher, and the packages are found by a .pth file."""
    python = ctx.actions.declare_file("%s/bin/python3" % ctx.label.name)
    home = "%s/%s" % (_up(python.dirname), interpreter)
    ctx.actions.write(python, _LAUNCHER.format(home = home, python = _PYTHON), is_executable = True)
    paths = ctx.actions.declare_file("%s/%s/wheels.pth" % (ctx.label.name, _SITE_PACKAGES))
    ctx.actions.write(paths, "".join([
        "%s/%s/%s\n" % (_up(paths.dirname), wheel.label.package, wheel.label.name)
        for wheel in ctx.attr.wheels
    ]))
    return [python, paths]

def _py_build_venv_impl(ctx):
    interpreter = _root_of(ctx.files.interpreter, _PYTHON)

    # No `home`: it would have to be absolute. The interpreter finds itself.
    config = ctx.actions.declare_file("%s/pyvenv.cfg" % ctx.label.name)
    ctx.actions.write(config, "include-system-site-packages = false\n")
    made = _venv_of_symlinks(ctx, interpreter) if ctx.attr.symlinks else _venv_of_files(ctx, interpreter)
    inputs = depset([config] + made, transitive = [depset(ctx.files.interpreter), depset(ctx.files.wheels)])
    return [
        BuildVenvInfo(inputs = inputs, python = config.dirname + "/bin/python3"),
        DefaultInfo(files = inputs),
    ]

py_build_venv = rule(
    doc = "A venv with these wheels, not one byte of which is copied.",
    implementation = _py_build_venv_impl,
    attrs = {
        "interpreter": attr.label(mandatory = True),
        "symlinks": attr.bool(doc = "whether it is one of symlinks", mandatory = True),
        "wheels": attr.label_list(mandatory = True),
    },
)

def _sdist_tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add(ctx.file._unpack)
    args.add(ctx.file.src)
    args.add_all([tree], expand_directories = False)
    ctx.actions.run(
        outputs = [tree],
        inputs = [ctx.file.src, ctx.file._unpack],
        executable = "/usr/bin/python3",
        arguments = [args],
        env = _ENV,
        exec_group = "target",
        mnemonic = "PySdistUnpack",
        progress_message = "Unpacking %s" % ctx.file.src.basename,
    )
    return [DefaultInfo(files = depset([tree]))]

sdist_tree = rule(
    doc = "The sources of an sdist as a tree artifact: the first of two steps.",
    implementation = _sdist_tree_impl,
    attrs = {
        "src": attr.label(allow_single_file = True, mandatory = True),
        "_unpack": attr.label(allow_single_file = True, default = "//:unpack.py"),
    },
    exec_groups = _PLACED,
)

def _sdist_build_impl(ctx):
    venv = ctx.attr.venv[BuildVenvInfo]
    out = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add(ctx.file._build_helper)
    args.add_all([ctx.file.src, out], expand_directories = False)
    ctx.actions.run(
        outputs = [out],
        inputs = depset([ctx.file.src, ctx.file._build_helper], transitive = [venv.inputs]),
        executable = venv.python,
        arguments = [args],
        env = _ENV,
        exec_group = "target",
        mnemonic = "PySdistNativeBuild" if ctx.attr.native else "PySdistBuild",
        progress_message = "Building %s" % ctx.label,
    )
    return [DefaultInfo(files = depset([out]))]

sdist_build = rule(
    doc = "`<venv>/bin/python3 build_helper.py <sdist or its tree> <directory for the wheel>`.",
    implementation = _sdist_build_impl,
    attrs = {
        "native": attr.bool(doc = "call it PySdistNativeBuild"),
        "src": attr.label(allow_single_file = True, mandatory = True),
        "venv": attr.label(mandatory = True, providers = [BuildVenvInfo]),
        "_build_helper": attr.label(allow_single_file = True, default = "//:build_helper.py"),
    },
    exec_groups = _PLACED,
)

def _to_platform_impl(_settings, attr):
    return {"//command_line_option:platforms": str(attr.platform)}

_to_platform = transition(
    implementation = _to_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

def _for_platform_impl(ctx):
    return [DefaultInfo(files = depset(transitive = [src[DefaultInfo].files for src in ctx.attr.src]))]

for_platform = rule(
    doc = "The files of `src`, as they are for `platform`.",
    implementation = _for_platform_impl,
    attrs = {
        "platform": attr.label(mandatory = True),
        "src": attr.label(cfg = _to_platform, mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)
