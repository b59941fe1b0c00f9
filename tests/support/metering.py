"""What goes over a Firestore store's connection, counted as Google bills it."""

from collections.abc import AsyncIterator
from math import ceil
from typing import Any

import pytest
from attrs import define, field
from google.cloud.firestore_v1.types import StructuredQuery

from duly.stores.firestore import FirestoreStore


@define
class Meter:
    """Counts, as Google bills, what goes over a store's connection; an empty query is a read."""

    calls: int = 0
    reads: int = 0
    writes: int = 0
    deletes: int = 0
    queries: list[StructuredQuery] = field(factory=list)

    def attach(self, store: FirestoreStore, patch: pytest.MonkeyPatch) -> None:
        """Count from now on."""
        api: Any = store._open.tenant.connection.api
        commit, run_query, batch_get, aggregate = api.commit, api.run_query, api.batch_get_documents, api.run_aggregation_query

        async def counted_commit(*, request: dict[str, Any], **options: object) -> object:
            self.calls += 1
            deletes = sum("delete" in write for write in request["writes"])
            self.deletes += deletes
            self.writes += len(request["writes"]) - deletes
            return await commit(request=request, **options)

        async def counted_query(*, request: dict[str, Any], **options: object) -> AsyncIterator[Any]:
            self.calls += 1
            self.queries.append(request["structured_query"])
            answers = [answer async for answer in await run_query(request=request, **options)]
            self.reads += max(1, sum("document" in answer for answer in answers))
            return _stream(answers)

        async def counted_count(*, request: dict[str, Any], **options: object) -> AsyncIterator[Any]:
            self.calls += 1
            self.queries.append(request["structured_aggregation_query"].structured_query)
            answers = [answer async for answer in await aggregate(request=request, **options)]
            found = sum(value.integer_value for answer in answers for value in answer.result.aggregate_fields.values())
            self.reads += max(1, ceil(found / 1000))
            return _stream(answers)

        async def counted_get(*, request: dict[str, Any], **options: object) -> object:
            self.calls += 1
            self.reads += len(request["documents"])
            return await batch_get(request=request, **options)

        patch.setattr(api, "commit", counted_commit)
        patch.setattr(api, "run_query", counted_query)
        patch.setattr(api, "batch_get_documents", counted_get)
        patch.setattr(api, "run_aggregation_query", counted_count)

    def bill(self) -> tuple[int, int, int, int]:
        """Calls, reads, writes and deletes since the last time."""
        bill = (self.calls, self.reads, self.writes, self.deletes)
        self.calls = self.reads = self.writes = self.deletes = 0
        return bill


async def _stream(answers: list[Any]) -> AsyncIterator[Any]:
    for answer in answers:
        yield answer
