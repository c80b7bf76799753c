"""Calls the PEP 517 hooks of a build backend on behalf of crosswheel.

Standard input is one end of a socket pair that carries lists of texts. crosswheel sends the settings;
this script answers with what get_requires_for_build_wheel (or _sdist) wants; crosswheel sends "build" once
all of it is installed, or hangs up; this script answers with the name of the wheel (or sdist).

PEP 517 wants each hook in a process of its own. The backend is imported once and each hook then
runs in a fork of that state: as clean as a new process, without paying for the imports twice.

Nothing is imported that Python has not imported by itself: it would take time, and a module of the
project could be found in its place.
"""
import gc
import os
import sys

# Some backends import most of themselves inside of their hooks, and would do so once for each hook.
IMPORTED_BY_HOOKS = {
    "hatchling.build": [
        "hatchling.builders.wheel",
        "hatchling.metadata.core",
        "hatchling.plugin.manager",
        "importlib.metadata",
    ],
    "pdm.backend": ["pdm.backend.wheel"],
    "scikit_build_core.build": ["scikit_build_core.builder.get_requires", "scikit_build_core.build.wheel"],
}


def take_channel():
    channel = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return channel


def send(channel, *fields):
    """A message is the length of its body, a line feed, and the body: the fields, separated by NUL."""
    body = b"\0".join(
        field.encode("utf-8", "backslashreplace").replace(b"\0", b"?") for field in fields
    )
    data = b"%d\n%s" % (len(body), body)
    while data:
        data = data[os.write(channel, data):]


def receive(channel):
    length = b""
    while not length.endswith(b"\n"):
        byte = os.read(channel, 1)
        if not byte:
            return None
        length += byte
    body = b""
    while len(body) < int(length):
        piece = os.read(channel, int(length) - len(body))
        if not piece:
            return None
        body += piece
    return [os.fsdecode(field) for field in body.split(b"\0")]


def parse_settings(fields):
    fields = iter(fields)
    product, backend, out = next(fields), next(fields), next(fields)
    backend_path = [next(fields) for _ in range(int(next(fields)))]
    config_settings = {}
    for key in fields:
        values = [next(fields) for _ in range(int(next(fields)))]
        # A single value is a string, several are a list: the convention of pip, build and uv.
        config_settings[key] = values[0] if len(values) == 1 else values
    return product, backend, out, backend_path, config_settings or None


def load_backend(backend, backend_path, product):
    directories = [os.path.abspath(path) for path in backend_path]
    sys.path[:0] = directories
    module_path, _, object_path = backend.partition(":")
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
    for name in IMPORTED_BY_HOOKS.get(module_path, ()) if product == "wheel" else ():
        try:
            __import__(name)
        except Exception:
            pass  # Of another version; the hooks know what they need.
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
    sys.__excepthook__(type(error), error, trace)
    if isinstance(error, SystemExit):
        kind, text = "SystemExit", "the backend exited with %r" % (error.code,)
    else:
        kind, text = type(error).__name__, str(error)
    module = getattr(error, "name", None) if isinstance(error, ImportError) else None
    send(channel, "failed", stage, kind, text[:2000], *filter(None, [module]))


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


def ask_requires(channel, backend, name, config_settings):
    hook = getattr(backend, name, None)
    if hook is None:
        send(channel, "requires")
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        requires = run_hook(channel, name, lambda: hook(config_settings))
        send(channel, "requires", *map(str, requires or []))
        leave(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        if os.WIFSIGNALED(status):
            send(channel, "killed", name, str(os.WTERMSIG(status)))
        leave(1)


def main():
    sys.path.pop(0)  # the directory of this script
    sys.argv = ["setup.py"]
    channel = take_channel()
    settings = receive(channel)
    if settings is None:
        leave(1)
    product, backend, out, backend_path, config_settings = parse_settings(settings)
    # What is imported stays: looking for garbage among it takes time, and finds none.
    gc.disable()
    backend = run_hook(channel, "import", lambda: load_backend(backend, backend_path, product))
    build = run_hook(channel, "import", lambda: getattr(backend, "build_" + product))
    if hasattr(gc, "freeze"):  # Python 3.7
        gc.freeze()
    gc.enable()
    make_temporary_names_repeatable()
    ask_requires(channel, backend, "get_requires_for_build_" + product, config_settings)
    if receive(channel) != ["build"]:
        leave(0)
    # Only build_wheel takes a third: a directory with metadata, which nobody has asked for.
    metadata = (None,) if product == "wheel" else ()
    built = run_hook(channel, "build_" + product, lambda: build(out, config_settings, *metadata))
    send(channel, "built", str(built))
    leave(0)


# Children that multiprocessing spawns import this file again under another name.
if __name__ == "__main__":
    main()
