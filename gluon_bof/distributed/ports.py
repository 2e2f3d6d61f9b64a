"""Ports and sockets of this machine: who has them, and who listens at them."""
from __future__ import annotations

import contextlib
import os
import socket

from gluon_bof.errors import UserError

LISTENING = "0A"  # in /proc/net/tcp


class Ports:
    """Ports of this machine, ascending, that nobody else has: `wanted`, or so many free ones. Where numbers alone matter, for
    sockets of the file system (only_numbers), they stay taken until `release()`, so that no other job gets the same.

    Raises UserError where the wanted one is taken."""

    def __init__(self, address: str, count: int, wanted: int | None = None, only_numbers: bool = False):
        self._held = [socket.socket() for _ in range(count)]
        for held in self._held:
            if not only_numbers:  # a port that a job had a moment ago; with it two can have one at which nobody listens
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind((address, wanted or 0))
            except OSError as error:
                self.release()
                raise UserError(f"port {wanted or 'any'} at {address} cannot be listened at ({error.strerror})",
                                remedy="leave --port out: a free one is found" if wanted else
                                "--address has to be one of this machine's addresses") from None
        self.numbers = sorted(held.getsockname()[1] for held in self._held)

    def release(self) -> None:
        """Give them free."""
        for held in self._held:
            held.close()


def unix_socket(port: int) -> str:
    """Where ps-lite has the socket of that number."""
    return f"/tmp/{port}"


def free_port() -> int:
    """A port of this machine at which nobody listened a moment ago."""
    ports = Ports("", 1)
    ports.release()
    return ports.numbers[0]


def listens(pid: int, port: int, unix: bool = False) -> bool:
    """Whether that very process listens at the port of this machine, or at the socket of the file system of that number."""
    with contextlib.suppress(OSError):
        own = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        return any(f"socket:[{inode}]" in own for inode in (_unix_inodes if unix else _tcp_inodes)(port))
    return False


def _tcp_inodes(port):
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in _rows(table):
            if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port:
                yield row[9]


def _unix_inodes(port):
    return [row[6] for row in _rows("/proc/net/unix") if row[7:] == [unix_socket(port)]]


def _rows(table):
    with contextlib.suppress(FileNotFoundError), open(table, encoding="utf-8", errors="replace") as file:
        return [line.split() for line in file][1:]
    return []
