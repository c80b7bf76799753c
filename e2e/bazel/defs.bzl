"""Rules whose actions ask something particular of the executor.

They work in Bazel 4 and 7 alike, need no toolchains, and call only what every Debian has: bash, coreutils, gcc, python3.
"""

# Command says what the environment is; an action inherits nothing from the machine it runs on.
_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

def _shell_impl(ctx):
    trees = [ctx.actions.declare_directory(path) for path in ctx.attr.trees]
    outs = ctx.outputs.outs + trees
    outs += [ctx.actions.declare_symlink(path) for path in ctx.attr.symlinks]

    args = ctx.actions.args()
    args.add_all(outs, expand_directories = False)
    args.add_all(ctx.files.srcs, expand_directories = False)

    # Bazel 7 has the trees made before the action, Bazel 4 only where it runs locally.
    prologue = ["set -eu"] + ["mkdir -p '%s'" % tree.path for tree in trees]

    ctx.actions.run_shell(
        outputs = outs,
        inputs = ctx.files.srcs,
        command = "\n".join(prologue + [ctx.attr.command]),
        arguments = [args],
        env = {} if ctx.attr.bare else dict(_ENV, **ctx.attr.env),
        mnemonic = "Shell",
        execution_requirements = ctx.attr.requirements,
    )
    return [DefaultInfo(files = depset(outs))]

shell = rule(
    doc = "One bash action. `$1`, `$2` ... are the files of `outs`, then `trees`, then `symlinks`, then `srcs`.",
    implementation = _shell_impl,
    attrs = {
        "bare": attr.bool(doc = "whether it has no environment at all"),
        "command": attr.string(mandatory = True),
        "env": attr.string_dict(),
        "outs": attr.output_list(),
        "requirements": attr.string_dict(doc = "execution_requirements of the action"),
        "srcs": attr.label_list(allow_files = True),
        "symlinks": attr.string_list(doc = "paths for declare_symlink"),
        "trees": attr.string_list(doc = "paths for declare_directory"),
    },
)

def _python_impl(ctx):
    args = ctx.actions.args()
    args.add(ctx.outputs.out)
    args.add_all(ctx.attr.arguments)
    args.add_all(ctx.files.srcs, expand_directories = ctx.attr.expand_directories)
    if ctx.attr.params_file:
        args.use_param_file("@%s", use_always = True)
        args.set_param_file_format("multiline")

    ctx.actions.run(
        outputs = [ctx.outputs.out],
        inputs = ctx.files.srcs + [ctx.file.script],
        executable = "/usr/bin/python3",
        arguments = [ctx.file.script.path, args],
        env = _ENV,
        mnemonic = "Python",
        progress_message = "Python %s" % ctx.label.name,
    )
    return [DefaultInfo(files = depset([ctx.outputs.out]))]

python = rule(
    doc = "One action of the worker's python3: `script OUT ARGUMENTS... SRCS...`.",
    implementation = _python_impl,
    attrs = {
        "arguments": attr.string_list(),
        "expand_directories": attr.bool(default = True, doc = "give the files of tree artifacts one by one"),
        "out": attr.output(mandatory = True),
        "params_file": attr.bool(doc = "pass all arguments in a params file, one a line"),
        "script": attr.label(mandatory = True, allow_single_file = True),
        "srcs": attr.label_list(allow_files = True),
    },
)

def _c_program_impl(ctx):
    objects = []
    for src in ctx.files.srcs:
        obj = ctx.actions.declare_file("%s.o/%s.o" % (ctx.label.name, src.basename))
        objects.append(obj)
        args = ctx.actions.args()
        args.add_all(["-O1", "-Wall", "-Werror", "-iquote", ".", "-c"])
        args.add("-o", obj)
        args.add(src)
        ctx.actions.run(
            outputs = [obj],
            inputs = [src] + ctx.files.hdrs,
            executable = "/usr/bin/gcc",
            arguments = [args],
            env = _ENV,
            mnemonic = "CCompile",
        )

    program = ctx.actions.declare_file(ctx.label.name)
    args = ctx.actions.args()
    args.add("-o", program)
    args.add_all(objects)
    ctx.actions.run(
        outputs = [program],
        inputs = objects,
        executable = "/usr/bin/gcc",
        arguments = [args],
        env = _ENV,
        mnemonic = "CLink",
    )
    return [DefaultInfo(files = depset([program]), executable = program)]

c_program = rule(
    doc = "Compiles each source in an action of its own and links them, with the worker's gcc.",
    implementation = _c_program_impl,
    executable = True,
    attrs = {
        "hdrs": attr.label_list(allow_files = [".h"]),
        "srcs": attr.label_list(allow_files = [".c"]),
    },
)

def _run_program_impl(ctx):
    ctx.actions.run_shell(
        outputs = [ctx.outputs.out],
        tools = [ctx.executable.program],
        command = '"$1" > "$2"',
        arguments = [ctx.executable.program.path, ctx.outputs.out.path],
        env = _ENV,
        mnemonic = "RunProgram",
    )
    return [DefaultInfo(files = depset([ctx.outputs.out]))]

run_program = rule(
    doc = "Runs a program that another action made, and keeps what it prints.",
    implementation = _run_program_impl,
    attrs = {
        "out": attr.output(mandatory = True),
        "program": attr.label(mandatory = True, executable = True, cfg = "target"),
    },
)

def _worker_tool_impl(ctx):
    # A params file and this requirement make it one that a persistent worker could run.
    args = ctx.actions.args()
    args.add(ctx.outputs.out)
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")
    ctx.actions.run(
        outputs = [ctx.outputs.out],
        executable = ctx.executable.tool,
        arguments = [args],
        env = _ENV,
        mnemonic = "WorkerTool",
        execution_requirements = {"supports-workers": "1"},
    )
    return [DefaultInfo(files = depset([ctx.outputs.out]))]

worker_tool = rule(
    doc = "Runs a tool that says it can be a persistent worker, and is none.",
    implementation = _worker_tool_impl,
    attrs = {
        "out": attr.output(mandatory = True),
        "tool": attr.label(mandatory = True, executable = True, cfg = "exec", allow_files = True),
    },
)

def _script_test_impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(script, "#!/bin/bash\nset -eu\n" + ctx.attr.command + "\n", is_executable = True)
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles(files = ctx.files.data))]

script_test = rule(
    doc = "A test that runs `command` in bash.",
    implementation = _script_test_impl,
    test = True,
    attrs = {
        "command": attr.string(mandatory = True),
        "data": attr.label_list(allow_files = True),
    },
)
