"""Which calls ended without an answer.

So the same call, made again, can tell its own traces from those of others.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from duly.stores.errors import StoreUnavailable
from duly.stores.postgres.failures import leaves_doubt

_REMEMBERED: Final = 1024


class Unanswered:
    """The latest calls of one store object that may or may not have been done."""

    def __init__(self) -> None:
        """Begin without any."""
        self._calls: OrderedDict[Hashable, None] = OrderedDict()

    @contextmanager
    def about(self, *call: Hashable) -> Iterator[bool]:
        """Say whether this very call ended in doubt before.

        Remember it if it does so now, forget it if it is answered.
        """
        try:
            yield call in self._calls
        except StoreUnavailable as error:
            if leaves_doubt(error.__cause__):
                self._calls[call] = None
                if len(self._calls) > _REMEMBERED:
                    self._calls.popitem(last=False)
            raise
        self._calls.pop(call, None)
