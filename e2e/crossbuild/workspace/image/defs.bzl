"""A Python app, its image layers, an OCI image of them, and an index of images.

They stand for py_venv_binary, py_image_layer and rules_oci, which cannot be fetched offline. Everything but
`run_layers` runs on whichever execution platform comes first, with tools of its own: python3, tar, umoci and buildah.
"""

_ENV = {
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
}

PyAppInfo = provider(
    doc = "An app of Python sources and wheels.",
    fields = {
        "srcs": "depset of files: the app's own sources",
        "wheels": "depset of directories, each with one wheel in it",
    },
)

def _py_app_impl(ctx):
    srcs = depset(ctx.files.srcs)
    wheels = depset(transitive = [dep[DefaultInfo].files for dep in ctx.attr.deps])
    return [
        PyAppInfo(srcs = srcs, wheels = wheels),
        DefaultInfo(files = srcs),
    ]

py_app = rule(
    doc = "Sources that import what the wheels of `deps` hold.",
    implementation = _py_app_impl,
    attrs = {
        "deps": attr.label_list(doc = "py_sdist_wheel targets", mandatory = True),
        "srcs": attr.label_list(allow_files = [".py"], mandatory = True),
    },
)

def _layer(ctx, name, where, inputs):
    layer = ctx.actions.declare_file("%s/%s.tar" % (ctx.label.name, name))
    args = ctx.actions.args()
    args.add(ctx.file._layer)
    args.add(layer)
    args.add(where)
    args.add_all(inputs, expand_directories = False)
    ctx.actions.run(
        outputs = [layer],
        inputs = depset([ctx.file._layer], transitive = [inputs]),
        executable = "/usr/bin/python3",
        arguments = [args],
        env = _ENV,
        mnemonic = "PyImageLayer",
        progress_message = "Layer %s of %s" % (name, ctx.label),
    )
    return layer

def _py_image_layer_impl(ctx):
    app = ctx.attr.app[PyAppInfo]
    return [DefaultInfo(files = depset([
        _layer(ctx, "packages", "app/lib", app.wheels),
        _layer(ctx, "app", "app", app.srcs),
    ], order = "preorder"))]

py_image_layer = rule(
    doc = "Two layers, the one that changes less often first: the installed wheels, and the app's own sources.",
    implementation = _py_image_layer_impl,
    attrs = {
        "app": attr.label(mandatory = True, providers = [PyAppInfo]),
        "_layer": attr.label(allow_single_file = True, default = "//image:layer.py"),
    },
)

def _layers_listing_impl(ctx):
    listing = ctx.actions.declare_file(ctx.label.name + ".txt")
    args = ctx.actions.args()
    args.add(listing)
    args.add(ctx.file.expected)
    args.add_all(ctx.files.layers)
    ctx.actions.run(
        outputs = [listing],
        inputs = ctx.files.layers + [ctx.file.expected, ctx.file._compare_listing],
        executable = "/bin/bash",
        arguments = [ctx.file._compare_listing.path, args],
        env = _ENV,
        mnemonic = "LayersListing",
        progress_message = "Comparing what is in %s" % ctx.label,
    )
    return [DefaultInfo(files = depset([listing]))]

layers_listing = rule(
    doc = "What is in the layers; fails the build if that is not what `expected` says.",
    implementation = _layers_listing_impl,
    attrs = {
        "expected": attr.label(allow_single_file = True, mandatory = True),
        "layers": attr.label(mandatory = True),
        "_compare_listing": attr.label(allow_single_file = True, default = "//image:compare_listing.sh"),
    },
)

def _run_layers_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    args = ctx.actions.args()
    args.add(out)
    args.add(ctx.attr.entrypoint)
    args.add_all(ctx.files.layers)
    ctx.actions.run(
        outputs = [out],
        inputs = ctx.files.layers + [ctx.file._run_layers],
        executable = "/bin/bash",
        arguments = [ctx.file._run_layers.path, args],
        env = _ENV,
        mnemonic = "RunLayers",
        progress_message = "Running %s" % ctx.label,
        exec_group = "target",
    )
    return [DefaultInfo(files = depset([out]))]

run_layers = rule(
    doc = "What the app says when it runs out of its layers, on a machine of the platform that they are for.",
    implementation = _run_layers_impl,
    attrs = {
        "entrypoint": attr.string(mandatory = True),
        "layers": attr.label(mandatory = True),
        "_run_layers": attr.label(allow_single_file = True, default = "//image:run_layers.sh"),
    },
    exec_groups = {"target": exec_group(toolchains = ["//platforms:toolchain_type"])},
)

def _oci_image_impl(ctx):
    layout = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add_all([layout], expand_directories = False)
    args.add(ctx.attr.architecture)
    args.add(ctx.attr.entrypoint)
    args.add_all(ctx.files.layers)
    ctx.actions.run(
        outputs = [layout],
        inputs = ctx.files.layers + [ctx.file._oci_image],
        executable = "/bin/bash",
        arguments = [ctx.file._oci_image.path, args],
        env = _ENV,
        mnemonic = "OciImage",
        progress_message = "Image %s" % ctx.label,
    )
    return [DefaultInfo(files = depset([layout]))]

oci_image = rule(
    doc = "An OCI layout with one image: the layers, upon nothing.",
    implementation = _oci_image_impl,
    attrs = {
        "architecture": attr.string(doc = "as Go spells it", mandatory = True),
        "entrypoint": attr.string(mandatory = True),
        "layers": attr.label(mandatory = True),
        "_oci_image": attr.label(allow_single_file = True, default = "//image:oci_image.sh"),
    },
)

def _oci_image_index_impl(ctx):
    layout = ctx.actions.declare_directory(ctx.label.name)
    args = ctx.actions.args()
    args.add_all([layout] + ctx.files.images, expand_directories = False)
    ctx.actions.run(
        outputs = [layout],
        inputs = ctx.files.images + [ctx.file._oci_image_index],
        executable = "/bin/bash",
        arguments = [ctx.file._oci_image_index.path, args],
        env = _ENV,
        mnemonic = "OciImageIndex",
        progress_message = "Image index %s" % ctx.label,
    )
    return [DefaultInfo(files = depset([layout]))]

oci_image_index = rule(
    doc = "An OCI layout with an index of images for several platforms.",
    implementation = _oci_image_index_impl,
    attrs = {
        "images": attr.label_list(mandatory = True),
        "_oci_image_index": attr.label(allow_single_file = True, default = "//image:oci_image_index.sh"),
    },
)

def _to_platform_impl(_settings, attr):
    return {"//command_line_option:platforms": str(attr.platform)}

_to_platform = transition(
    implementation = _to_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

def _for_platform_impl(ctx):
    return [DefaultInfo(files = depset(transitive = [src[DefaultInfo].files for src in ctx.attr.srcs]))]

for_platform = rule(
    doc = "The files of `srcs`, as they are for `platform`.",
    implementation = _for_platform_impl,
    attrs = {
        "platform": attr.label(mandatory = True),
        "srcs": attr.label_list(cfg = _to_platform, mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)
