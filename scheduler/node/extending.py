"""Extends leases together, and one by one where the store fails on them together."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from duly.stores import Extended, Held, JobStore
from duly.triggers import DulyError


async def extend_all(store: JobStore, now: datetime, held: Sequence[Held], lease: timedelta) -> tuple[Extended, Exception | None]:
    """Extend the leases in `held`; return what the store found, and an error that is not the library's.

    Such an error may be the fault of one row. So each lease is then extended by itself, and the others are kept.

    Raises:
        StoreError: the store failed.
        Exception: it fails on each lease.

    """
    try:
        return await store.extend(now, held, lease), None
    except DulyError:
        raise
    except Exception as error:
        found, failed = await _singly(store, now, held, lease)
        if not found:
            raise
        together = Extended(
            kept=[kept for each in found for kept in each.kept],
            lost=[lost for each in found for lost in each.lost],
            busy=[busy for each in found for busy in each.busy],
            store_now=found[0].store_now,
        )
        return together, failed or error


async def _singly(store: JobStore, now: datetime, held: Sequence[Held], lease: timedelta) -> tuple[list[Extended], Exception | None]:
    found, failed = list[Extended](), None
    for each in held if len(held) > 1 else ():
        try:
            found.append(await store.extend(now, [each], lease))
        except DulyError:
            raise
        except Exception as error:  # noqa: BLE001 - returned, and raised once the others are kept
            failed = error
    return found, failed
