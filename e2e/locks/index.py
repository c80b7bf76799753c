"""An index of packages on the loopback interface (PEP 691), for several projects at once. Does not know what they
are for."""

import hashlib
import http.server
import json
import threading
import urllib.parse


class Index:
    """Serves from `with` to its end what is put into it."""

    def __init__(self):
        # The path of an index -> name of a package -> file name -> content.
        self._indexes = {}

    def __enter__(self):
        indexes = self._indexes

        class Handler(_Handler):
            def content(self, path):
                return _content(indexes, path)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def put(self, path, packages):
        """Makes an index of `packages`; its address, and that of its files."""
        index = self._indexes.setdefault(path, {})
        for package in packages:
            requires_python = package.requires_python
            index.setdefault(package.name, {}).update(
                {name: (content, requires_python) for name, content in package.files().items()}
            )
        address = f"http://127.0.0.1:{self._server.server_address[1]}/{path}"
        return f"{address}/simple", f"{address}/files"


def _content(indexes, path):
    """Type and bytes of what is at a path: `INDEX/simple/NAME/` or `INDEX/files/FILE`; None if nothing is."""
    place, _, name = path.strip("/").rpartition("/")
    index = indexes.get(place.rpartition("/")[0])
    if index is None:
        return None
    if place.endswith("/files"):
        found = [content for files in index.values() for file, (content, _) in files.items() if file == name]
        return ("application/octet-stream", found[0]) if found else None
    if name not in index:
        return None
    page = {
        "meta": {"api-version": "1.1"},
        "name": name,
        "versions": sorted({file.split("-")[1].removesuffix(".tar.gz") for file in index[name]}),
        "files": [_file(file, *about) for file, about in index[name].items()],
    }
    return "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()


def _file(name, content, requires_python):
    file = {
        "filename": name,
        # Names have a `+` in them, which is `%2B` in an address.
        "url": f"../../files/{urllib.parse.quote(name)}",
        "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
        "size": len(content),
    }
    return {**file, "requires-python": requires_python} if requires_python else file


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def _answer(self, with_body):
        found = self.content(urllib.parse.unquote(urllib.parse.urlsplit(self.path).path))
        kind, body = found or ("text/plain", b"there is nothing here\n")
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass
