"""The node's end of the line to a child: whole messages, whatever the socket does to them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection

import pytest

from duly.scheduler.executors.process.pipe import Pipe
from support.waiting import wait_until_async


class Ends:
    """A line, what it told, and the socket at its other end."""

    def __init__(self) -> None:
        ours, self.other = socket.socketpair()
        self.messages: list[bytes] = []
        self.ends = 0
        self.line = Pipe(ours, self.messages.append, self._end)

    def _end(self) -> None:
        self.ends += 1


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """A line that is closed after the test."""
    ends = Ends()
    yield ends
    ends.line.close()
    ends.other.close()


def framed(message: bytes) -> bytes:
    """Return a message as it goes over the wire."""
    return len(message).to_bytes(4, "big") + message


async def test_a_message_that_comes_in_pieces_is_told_whole(ends: Ends) -> None:
    """Byte by byte, and two at once; an empty one too."""
    wire = framed(b"first") + framed(b"") + framed(b"third")
    for byte in wire[:12]:
        ends.other.send(bytes([byte]))
        await asyncio.sleep(0)
    ends.other.send(wire[12:])
    await wait_until_async(lambda: len(ends.messages) == 3)
    assert ends.messages == [b"first", b"", b"third"]


async def test_a_message_larger_than_the_socket_holds_is_sent_whole(ends: Ends) -> None:
    """The sender does not wait; what comes after it stays behind it.

    The other side reads as `multiprocessing` does.
    """
    large = b"x" * 3_000_000
    ends.line.send(large)
    ends.line.send(b"small")
    child = Connection(ends.other.detach())
    assert await asyncio.to_thread(child.recv_bytes) == large
    assert await asyncio.to_thread(child.recv_bytes) == b"small"
    child.send_bytes(b"answer")
    child.close()
    await wait_until_async(lambda: ends.ends)
    assert ends.messages == [b"answer"]


async def test_the_end_of_the_other_side_is_told_once(ends: Ends) -> None:
    """Sending after it is in vain, and no error."""
    ends.other.close()
    await wait_until_async(lambda: ends.ends)
    ends.line.send(b"nobody hears")
    ends.line.end()
    assert ends.ends == 1


async def test_sending_to_a_side_that_is_gone_is_no_error(ends: Ends) -> None:
    """The reader tells of it."""
    ends.other.close()
    ends.line.send(b"nobody hears")
    await wait_until_async(lambda: ends.ends)
    assert ends.messages == []


async def test_what_has_come_is_told_before_the_end_though_the_other_side_stays_open(ends: Ends) -> None:
    """As when a child died and a fork of it holds the socket."""
    ends.other.send(framed(b"last words"))
    ends.line.finish()
    assert (ends.messages, ends.ends) == ([b"last words"], 1)


async def test_a_closed_line_tells_nothing(ends: Ends) -> None:
    """Neither messages nor the end."""
    ends.other.send(framed(b"too late"))
    ends.line.close()
    await asyncio.sleep(0)
    assert (ends.messages, ends.ends) == ([], 0)
