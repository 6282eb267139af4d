"""The SAML identity provider of npm's `samlify`, run by Node on a loopback port."""

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.fakes.idp import ATTRIBUTES, KeyPair, key_pair
from tests.fakes.npm import commands, install
from tests.fakes.server import free_port
from tests.waiting import WITHIN

_HERE = Path(__file__).parent


def form(page: str) -> dict[str, str]:
    """The fields of the form that it answers with, and under `action` where it is posted."""
    fields: dict[str, str] = {}

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found = {name: unescape(value or "") for name, value in attrs}
            if tag == "form":
                fields["action"] = found["action"]
            elif tag == "input":
                fields[found["name"]] = found["value"]

    Reader().feed(page)
    return fields


class SamlIdpServer:
    """Started and ended by `async with`; its pages and their queries are described in `server.mjs`.

    `service_provider`: the metadata that it trusts.
    """

    def __init__(self, service_provider: str, *, attributes: Mapping[str, Sequence[str]] = ATTRIBUTES) -> None:
        self.port = free_port()
        self.key: KeyPair = key_pair("samlify")
        self._service_provider = service_provider
        self._attributes = attributes
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        node, _ = commands()
        await asyncio.to_thread(install, _HERE)
        self._process = await asyncio.create_subprocess_exec(
            node,
            _HERE / "server.mjs",
            str(self.port),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        certificate = x509.load_der_x509_certificate(self.key.certificate)
        world = {
            "key": self.key.pem.decode(),
            "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
            "service_provider": self._service_provider,
            "attributes": {name: list(values) for name, values in self._attributes.items()},
        }
        self._process.stdin.write(json.dumps(world).encode() + b"\n")
        if not await asyncio.wait_for(self._process.stdout.readline(), WITHIN):
            raise RuntimeError("the identity provider did not start")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), WITHIN)
