"""Bytes to and from a board: a serial port, any URL that pyserial knows, or a socket."""

from __future__ import annotations

import re
import select
import socket
import time
from typing import Protocol

import serial

from thumbnet.codegen.errors import ToolError

BAUD = 115_200  # of every port's console (ports/)
CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.05  # setting another time for each read would talk to remote ports each time


class Transport(Protocol):
    """A byte stream that may lose, damage or repeat what it carries."""

    def write(self, data: bytes) -> None:
        """Raises ToolError where the other end is gone."""

    def read(self, timeout: float) -> bytes:
        """What has come, b"" when that is nothing after `timeout` seconds. Raises ToolError."""

    def close(self) -> None: ...


def is_port(name: str) -> bool:
    """Whether `name` is a serial port or a URL, and not the name of a board."""
    return "://" in name or "/" in name or bool(re.fullmatch(r"COM\d+", name, re.IGNORECASE))


def open_transport(name: str) -> Transport:
    """A serial port (/dev/ttyACM0, COM3), socket://HOST:PORT, or another URL of pyserial.

    Raises ToolError with what to do when it cannot be opened.
    """
    found = re.fullmatch(r"socket://(\[[^\]]+\]|[^:/\[\]]+):(\d{1,5})/?", name)
    if name.startswith("socket:") and not (found and 0 < int(found[2]) < 65_536):
        raise ToolError(f"'{name}' is no address: write socket://HOST:PORT")
    if found:
        try:
            address = (found[1].strip("[]"), int(found[2]))
            return SocketTransport(socket.create_connection(address, CONNECT_SECONDS), name)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ToolError(f"cannot connect to {name}: {reason}") from error
    try:
        return SerialTransport(name)
    except (serial.SerialException, OSError, ValueError, NotImplementedError) as error:
        raise ToolError(f"cannot open {name}: {_advice(error)}") from error


def _advice(error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text:
        return (
            "permission denied: on Linux add yourself to the group that owns it ('sudo usermod -aG "
            "dialout $USER', then log in again)"
        )
    if "No such file" in text or "FileNotFound" in text:
        return "there is no such port: is the board plugged in? " + _ports()
    if re.search(r"lock|busy|access is denied", text, re.IGNORECASE):
        return "another program uses it: close its terminal or monitor"
    return text


def _ports() -> str:
    """The serial ports of this computer, in words."""
    from serial.tools.list_ports import comports

    found = [f"{p.device} ({p.description})" for p in comports()]
    return f"ports here: {', '.join(found)}" if found else "this computer has no serial port now"


class SerialTransport:
    def __init__(self, name: str) -> None:
        own = {"exclusive": True, "write_timeout": 5} if "://" not in name else {}
        self._name = name
        self._port = serial.serial_for_url(name, baudrate=BAUD, timeout=_POLL_SECONDS, **own)

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise ToolError(f"{self._name} was lost: {error}") from error

    def read(self, timeout: float) -> bytes:
        try:
            end = time.monotonic() + timeout
            while not (first := self._port.read(1)):
                if time.monotonic() >= end:
                    return b""
            return bytes(first + self._port.read(self._port.in_waiting))
        except (serial.SerialException, OSError, TypeError) as error:
            raise ToolError(f"{self._name} was lost: {error}") from error

    def close(self) -> None:
        self._port.close()


class SocketTransport:
    """`name` is how messages call it."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._name = name
        self._socket = connection
        self._socket.settimeout(CONNECT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ToolError(f"{self._name} was lost: {error.strerror or error}") from error

    def read(self, timeout: float) -> bytes:
        try:
            if not select.select([self._socket], [], [], max(0.0, timeout))[0]:
                return b""
            got = self._socket.recv(65_536)
            if hasattr(socket, "TCP_QUICKACK"):  # an emulated UART sends byte by byte, and waits
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError as error:
            raise ToolError(f"{self._name} was lost: {error.strerror or error}") from error
        if not got:
            raise ToolError(f"{self._name} was lost: the other side closed the connection")
        return got

    def close(self) -> None:
        self._socket.close()
