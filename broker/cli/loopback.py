"""A port of this machine that waits for one answer from the user's browser (RFC 8252 §7.3)."""

import hmac
import http.server
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_DONE = (
    "<!doctype html><html lang=en><title>Signed in</title><h1>Signed in</h1><p>You may close this window.</p></html>"
)
_CLIENT_SECONDS = 5.0


class Listener:
    """Listens from the beginning; `state` is what the answer must carry, so that no other page can give one."""

    def __init__(self, state: str) -> None:
        self._code: str | None = None
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _CLIENT_SECONDS

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                given, code = query.get("state", [""])[0], query.get("code", [""])[0]
                taken = bool(code) and hmac.compare_digest(given.encode(), state.encode())
                if taken:
                    listener._code = code
                body = _DONE.encode() if taken else b""
                self.send_response(200 if taken else 404)
                for name, value in _HEADERS.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """The address holds the code: it is printed nowhere."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.server_address[1]
        return port

    def wait(self, seconds: float) -> str | None:
        """The code that the browser brought, None when the time is over."""
        end = time.monotonic() + seconds
        while self._code is None and (left := end - time.monotonic()) > 0:
            self._server.timeout = left
            self._server.handle_request()
        return self._code

    def close(self) -> None:
        """Stop listening."""
        self._server.server_close()
