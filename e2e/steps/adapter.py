def adapter(run, bazel):
    pass
