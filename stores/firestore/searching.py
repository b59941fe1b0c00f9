"""What the searches for tasks and for runs share.

The server is asked the conditions for which there is an index; the rest is compared here.
"""

from collections.abc import Sequence
from typing import Self

from attrs import evolve, frozen
from google.cloud.firestore import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

DISJUNCTIONS = 30
"""Most combinations of values that one query may name."""

PAGE = 100
"""Fewest documents that are asked for at a time, where some of them will not match."""

READ = 1000
"""Most documents that are asked for at a time: a call has five seconds."""

SCAN = 5000
"""Most documents that one call reads: a search that finds too little among these returns a short page, with a next."""


@frozen
class Asked:
    """What is asked of the server, and whether that is every condition."""

    query: AsyncQuery
    is_whole: bool = True
    room: int = DISJUNCTIONS

    def where(self, field: str, operator: str, value: object) -> Self:
        """Ask for a condition, if there is a value for it."""
        return self if value is None else evolve(self, query=self.query.where(filter=FieldFilter(field, operator, value)))

    def one_of(self, field: str, values: Sequence[str] | None) -> Self:
        """Name the values, of which there are some, in the query if there is room for so many."""
        if values is None:
            return self
        named = list(dict.fromkeys(map(str, values)))
        if len(named) > self.room:
            return evolve(self, is_whole=False)
        return evolve(self.where(field, "in", named), room=self.room // len(named))

    def size(self, limit: int) -> int:
        """Return how many documents to ask for at a time, to find a page of `limit` and the first beyond it."""
        return min(READ, limit + 1 if self.is_whole else max(PAGE, limit + 1))
