"""Extends leases together, and one by one where the store fails on them together."""

from collections.abc import Sequence
from datetime import datetime

from duly.scheduler.events.loops import LoopFailed, LoopRecovered
from duly.scheduler.services import Services
from duly.stores import Extended, Held
from duly.triggers import DulyError

_LOOP = "heartbeat"


class LeaseExtender:
    """Extends the leases of a node, so that one that the store fails on costs no other its lease."""

    def __init__(self, services: Services) -> None:
        """Extend leases in the store of `services`."""
        self._services = services
        self._is_failing = False

    async def extend(self, now: datetime, held: Sequence[Held]) -> Extended:
        """Extend the leases in `held`; what the store found of those that it does not fail on.

        If the store fails with an error that is not the library's, one row may be at fault. So each lease is then extended by
        itself, and the error is published.

        Raises:
            StoreError: the store failed.
            Exception: it fails on each lease.

        """
        store, lease = self._services.store, self._services.config.lease
        try:
            together = await store.extend(now, held, lease)
        except DulyError:
            raise
        except Exception as error:
            found = await self._singly(now, held)
            if not found:
                raise
            self._is_failing = True
            self._services.publish(LoopFailed(node=self._services.node, loop=_LOOP, error=error))
            return _merged(found)
        if self._is_failing:
            self._is_failing = False
            self._services.publish(LoopRecovered(node=self._services.node, loop=_LOOP))
        return together

    async def _singly(self, now: datetime, held: Sequence[Held]) -> list[Extended]:
        found = list[Extended]()
        for each in held if len(held) > 1 else ():
            try:
                found.append(await self._services.store.extend(now, [each], self._services.config.lease))
            except DulyError:
                raise
            except Exception:  # noqa: BLE001, S112 - the error about all of them is published
                continue
        return found


def _merged(found: Sequence[Extended]) -> Extended:
    return Extended(
        kept=[kept for each in found for kept in each.kept],
        lost=[lost for each in found for lost in each.lost],
        busy=[busy for each in found for busy in each.busy],
        store_now=found[0].store_now,
    )
