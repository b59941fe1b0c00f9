"""The node's end of the connection to a child: sends and receives whole messages, and never blocks.

The format is that of `multiprocessing.connection.Connection`, which the child uses: a length (`!i`, in bytes), then the
message.
"""

import asyncio
import socket
import struct
from collections.abc import Callable

_HEADER = struct.Struct("!i")
_CHUNK = 64 * 1024


class Pipe:
    """A connection to a child; only the event loop in which it was made may use it."""

    def __init__(self, sock: socket.socket, on_message: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Call `on_message` with every message, and `on_end` once, when no more can come.

        After `close` neither is called.
        """
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._socket, self._on_message, self._on_end = sock, on_message, on_end
        self._loop = asyncio.get_running_loop()
        self._in, self._out = bytearray(), bytearray()
        self._is_open = True
        self._loop.add_reader(sock, self._read)

    def send(self, message: bytes) -> None:
        """Send a message as soon as the other side takes it; if that side is gone, drop it."""
        if self._is_open:
            self._out += _HEADER.pack(len(message)) + message
            self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:  # the other side is gone: the reader sees that, too, and reports it
            self._out.clear()
            sent = 0
        del self._out[:sent]
        if self._out:
            self._loop.add_writer(self._socket, self._write)
        else:
            self._loop.remove_writer(self._socket)

    def _read(self) -> bool:
        """Read once, and pass on complete messages; return whether more may be there."""
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._in += data
        while self._is_open and (message := self._next()) is not None:
            self._on_message(message)
        if not data:
            self.end()
        return self._is_open

    def end(self) -> None:
        """Close, and call `on_end`; no effect if it was closed before."""
        if self._is_open:
            self.close()
            self._on_end()

    def finish(self) -> None:
        """Read what has arrived, and end.

        The child is gone, but a process that it started may keep the socket open.
        """
        while self._is_open and self._read():
            pass
        self.end()

    def _next(self) -> bytes | None:
        if len(self._in) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._in)
        end = _HEADER.size + length
        if len(self._in) < end:
            return None
        message = bytes(self._in[_HEADER.size : end])
        del self._in[:end]
        return message

    def close(self) -> None:
        """Close the connection; messages not sent yet are dropped, and no callback is called any more."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
