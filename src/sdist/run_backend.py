"""Calls the PEP 517 hooks of a build backend on behalf of crosswheel.

Standard input is one end of a socket pair that carries one JSON document per line. crosswheel
sends the settings; this script answers with what get_requires_for_build_wheel wants; crosswheel
sends "build" once all of it is installed, or hangs up; this script answers with the wheel's name.

PEP 517 wants each hook in a process of its own. The backend is imported once and each hook then
runs in a fork of that state: as clean as a new process, without paying for the imports twice.
"""
import fcntl
import io
import json
import os
import sys
import traceback


def take_channel():
    channel = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return io.open(channel, "r+b", buffering=0)


def send(channel, **message):
    data = json.dumps(message).encode("ascii") + b"\n"
    while data:
        data = data[channel.write(data):]


def receive(channel):
    line = b""
    while not line.endswith(b"\n"):
        byte = channel.read(1)
        if not byte:
            return None
        line += byte
    return json.loads(line.decode("utf-8"))


def load_backend(settings):
    directories = [os.path.abspath(path) for path in settings["backend_path"]]
    sys.path[:0] = directories
    module_path, _, object_path = settings["backend"].partition(":")
    __import__(module_path)
    module = sys.modules[module_path]
    if directories:
        origin = os.path.realpath(getattr(module, "__file__", None) or os.devnull)
        if not any(origin.startswith(os.path.realpath(path) + os.sep) for path in directories):
            raise ImportError(
                "backend-path is given, but %s was loaded from %s" % (module_path, origin)
            )
    backend = module
    for name in filter(None, object_path.split(".")):
        backend = getattr(backend, name)
    return backend


class CountedNames:
    """Names for temporary files that are the same in every build."""

    def __init__(self):
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        return "%08d" % self.count


def make_temporary_names_repeatable():
    """Some backends compile in a temporary directory, whose random name then stays in the debug
    information. TMPDIR belongs to this build alone, so its names need not be unguessable."""
    tempfile = sys.modules.get("tempfile")
    if hasattr(tempfile, "_name_sequence"):
        tempfile._name_sequence = CountedNames()


def report_error(channel, stage, error):
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next  # what this script does explains nothing
    traceback.print_exception(type(error), error, trace)
    if isinstance(error, SystemExit):
        kind, text = "SystemExit", "the backend exited with %r" % (error.code,)
    else:
        kind, text = type(error).__name__, str(error)
    send(
        channel,
        event="failed",
        stage=stage,
        kind=kind,
        text=text[:2000],
        module=getattr(error, "name", None) if isinstance(error, ImportError) else None,
    )


def leave(code):
    """Ends this process without the interpreter's clean-up, which takes time and frees nothing
    that outlives the build."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)


def run_hook(channel, stage, hook):
    try:
        return hook()
    except BaseException as error:  # SystemExit is how setup.py scripts often fail
        report_error(channel, stage, error)
        leave(1)


def ask_requires(channel, backend, config_settings):
    hook = getattr(backend, "get_requires_for_build_wheel", None)
    if hook is None:
        send(channel, event="requires", requires=[])
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        requires = run_hook(channel, "get_requires_for_build_wheel", lambda: hook(config_settings))
        send(channel, event="requires", requires=[str(entry) for entry in requires or []])
        leave(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        if os.WIFSIGNALED(status):
            send(channel, event="killed", stage="get_requires_for_build_wheel", signal=os.WTERMSIG(status))
        leave(1)


def main():
    sys.path.pop(0)  # the directory of this script
    sys.argv = ["setup.py"]
    channel = take_channel()
    settings = receive(channel)
    if settings is None:
        leave(1)
    config_settings = settings["config_settings"] or None
    backend = run_hook(channel, "import", lambda: load_backend(settings))
    build = run_hook(channel, "import", lambda: backend.build_wheel)
    make_temporary_names_repeatable()
    ask_requires(channel, backend, config_settings)
    if receive(channel) != "build":
        leave(0)
    wheel = run_hook(channel, "build_wheel", lambda: build(settings["out"], config_settings, None))
    send(channel, event="built", wheel=str(wheel))
    leave(0)


# Children that multiprocessing spawns import this file again under another name.
if __name__ == "__main__":
    main()
