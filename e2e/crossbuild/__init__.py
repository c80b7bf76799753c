"""Wheels and images for two architectures from one Bazel build on one machine."""
