"""What bazel_tools loads from buildozer, for `bazel mod tidy` alone."""

def _buildozer_binary_impl(_module_ctx):
    pass

buildozer_binary = module_extension(implementation = _buildozer_binary_impl)
