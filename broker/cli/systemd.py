"""Telling systemd that the gateway serves (sd_notify(3)), for units of `Type=notify`."""

import socket
from collections.abc import Mapping


def notify(state: str, environ: Mapping[str, str]) -> None:
    """Send `state` (`READY=1`) where a service manager asked for it, else nothing. Raises `OSError`."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract address of Linux
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode("ascii"), address)
