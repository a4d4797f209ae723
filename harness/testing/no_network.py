"""A stretch without network, in which every try to use it is written down."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn
from unittest import mock

_HOSTS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection")


@contextmanager
def refused_network() -> Iterator[list[str]]:
    """Refuse this process names and connections, and yield the list of what was tried; local sockets (AF_UNIX) work.

    What is caught by the code under test is in the list all the same; what goes round Python's `socket`, such as a
    program that is started, is not seen.
    """
    tried: list[str] = []
    connect = socket.socket.connect

    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        tried.append(str(arguments[0]))
        raise OSError(f"no network in this test: {arguments[0]}")

    def refuse_connection(own: socket.socket, address: Any) -> None:
        if own.family == socket.AF_UNIX:
            return connect(own, address)
        refuse(address)

    with ExitStack() as patches:
        for name in _HOSTS:
            patches.enter_context(mock.patch.object(socket, name, refuse))
        for name in ("connect", "connect_ex"):
            patches.enter_context(mock.patch.object(socket.socket, name, refuse_connection))
        yield tried
