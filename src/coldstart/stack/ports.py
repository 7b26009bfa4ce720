"""Ports of this machine."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from coldstart.errors import ServiceError


def require_free(host: str, ports: Mapping[str, int]) -> None:
    """Check that nothing listens on any of ``ports`` (by the variable that changes it).

    Raises:
        ServiceError: names every taken port and its variable.
    """
    taken = [
        f"port {port} is in use by another program; end it, or set {variable} to a free port"
        for variable, port in ports.items()
        if not _is_free(host, port)
    ]
    if taken:
        raise ServiceError("\n".join(taken))


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
