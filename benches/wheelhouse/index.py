"""PyPI as if it were next door: an index on the loopback interface that keeps what it has fetched once, so that no tool
waits for a network. Does not know who asks."""

import hashlib
import http.server
import json
import os
import threading
import urllib.error
import urllib.request

INDEX = "https://pypi.org/simple"
FILES = "https://files.pythonhosted.org"

_JSON = "application/vnd.pypi.simple.v1+json"


class Index:
    def __init__(self, kept):
        self._kept = kept
        os.makedirs(kept, exist_ok=True)

    def __enter__(self):
        fetch = self._fetch

        class Handler(_Handler):
            pass

        Handler.fetch = staticmethod(fetch)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        Handler.address = self.address
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def here(self, text):
        """A text, such as a lock, in which everything is to be had here."""
        return text.replace(INDEX, f"{self.address}/simple").replace(FILES, f"{self.address}/files")

    def _fetch(self, address, accept):
        """The bytes of an address; None if nothing is there."""
        path = os.path.join(self._kept, hashlib.sha256(address.encode()).hexdigest())
        if not os.path.exists(path):
            request = urllib.request.Request(address, headers={"Accept": accept})
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    content = answer.read()
            except urllib.error.HTTPError:
                return None
            partial = f"{path}.{threading.get_ident()}"
            with open(partial, "wb") as file:
                file.write(content)
            os.rename(partial, path)
        with open(path, "rb") as file:
            return file.read()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def _answer(self, with_body):
        kind, body = self._content()
        self.send_response(200 if body is not None else 404)
        body = b"" if body is None else body
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        # As PyPI has them: pages for ten minutes, files for ever.
        self.send_header("Cache-Control", "max-age=600" if kind == _JSON else "max-age=365000000, immutable, public")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _content(self):
        if self.path.startswith("/files/"):
            return "application/octet-stream", self.fetch(FILES + self.path.removeprefix("/files"), "*/*")
        name = self.path.removeprefix("/simple/").strip("/")
        page = self.fetch(f"{INDEX}/{name}/", _JSON)
        return _JSON, page and json.dumps(self._here(json.loads(page))).encode()

    def _here(self, page):
        for file in page["files"]:
            file["url"] = file["url"].replace(FILES, f"{self.address}/files")
        return page

    def log_message(self, *_):
        pass
