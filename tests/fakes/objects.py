"""A small object service behind a proxy: path style, any bucket, what it is told about the caller kept."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape


class ObjectService:
    """Serves on a loopback port while entered. `objects` by decoded path; `seen`: each request and its headers."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _told(self) -> str:
                headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
                service.seen.append((self.command, self.path, headers))
                return unquote(urlsplit(self.path).path)

            def _answer(self, status: int, body: bytes = b"", kind: str = "application/octet-stream") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", '"e"')
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_GET(self) -> None:
                path = self._told()
                if path.count("/") == 1:
                    keys = [name.removeprefix(path + "/") for name in service.objects if name.startswith(path + "/")]
                    items = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in sorted(keys))
                    self._answer(200, f"<ListBucketResult>{items}</ListBucketResult>".encode(), "application/xml")
                elif path in service.objects:
                    self._answer(200, service.objects[path])
                else:
                    self._answer(404)

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_PUT(self) -> None:
                path = self._told()
                service.objects[path] = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(200)

            def do_DELETE(self) -> None:
                service.objects.pop(self._told(), None)
                self._answer(204)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
