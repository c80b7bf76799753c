"""What Bazel's own tools load from here, handed on to the native rules."""

proto_library = native.proto_library
