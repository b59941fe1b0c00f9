"""What holders do: take what is due, keep it, and give it back; all of it fenced by the statements."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, cast

from attrs import evolve

from duly.jobs import Task
from duly.jobs.task import RECORD_VERSION
from duly.stores.codec import JSON
from duly.stores.errors import StoreError, UnreadableTask
from duly.stores.postgres.failures import about_a_row, waited_in_vain
from duly.stores.postgres.portions import portions
from duly.stores.postgres.rows import Row, batch, definition, part_of, read_task, record, released, task_cell
from duly.stores.postgres.session import Session
from duly.stores.postgres.statements import Step
from duly.stores.reading import sorted_out
from duly.stores.records import Exchange, Extended, Held, Kept, LockRequest, Outcome, Refused, Unreadable
from duly.stores.rules.refusals import judge, judge_unreadable
from duly.stores.rules.transitions import lost_reason
from duly.stores.rules.unreadable import put_off_until

_logger = logging.getLogger(__name__)

_LOST_REASON: Final = lost_reason("%s")
"""As SQL's `format` takes it."""

_SLUG_WAIT: Final = timedelta(milliseconds=250)
"""How long a spawned slug may wait for an open transaction that just creates or edits it; after that its outcome is busy."""


async def exchange(session: Session, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
    """Write outcomes, lock what is due and look what is due next, in one round trip and one transaction."""
    aside = _hold_aside(session, outcomes)
    writing = [*_reschedule(session, now, outcomes, handing_back=request is None)]
    asking = [] if request is None else [_lock(session, now, request), _next_run(session, request)]
    try:
        ((store_now,),), *answers = await session.connections.run(_enter(session, now, outcomes, request), *aside, *writing, *asking)
    except StoreError as error:
        if not outcomes or not about_a_row(error.__cause__):
            raise
        refused = await _write_one_by_one(session, now, outcomes, handing_back=request is None)
        return evolve(await exchange(session, now, (), request), refused=refused)
    del answers[: len(aside)]
    refused = await _refused(session, outcomes, answers[: len(writing)])
    if request is None:
        return Exchange(tasks=[], refused=refused, next_run=None, store_now=store_now)
    tasks, unreadable = await _locked(session, now, answers[-2])
    return Exchange(tasks=tasks, refused=refused, next_run=answers[-1][0][0], store_now=store_now, unreadable=unreadable)


async def next_run(session: Session, kinds: Sequence[str]) -> datetime | None:
    """Return the earliest due instant of the kinds."""
    ((next_run,),) = await session.ask(session.sql.next_run, kinds=list(kinds), known=RECORD_VERSION)
    return cast("datetime | None", next_run)


async def extend(session: Session, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
    """Move the ends of leases.

    Tell which are kept, which are lost, and which rows somebody else's transaction holds.
    """
    leases = {"slugs": [each.slug for each in held], "leases": [each.lease_id for each in held], "until": now + lease}
    ((store_now,),), rows = await session.connections.run(session.enter(now), session.step(session.sql.extend, leases))
    kept: list[Kept] = []
    lost: list[Held] = []
    busy: list[Held] = []
    for ordinal, version, stop, is_ours in rows:
        each = held[ordinal]
        if version is not None:
            kept.append(Kept(each.slug, each.lease_id, version=version, stop=stop))
        else:
            (busy if is_ours else lost).append(each)
    return Extended(kept=kept, lost=lost, busy=busy, store_now=store_now)


def _enter(session: Session, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None = None) -> Step:
    """A repeated request waits for its first attempt.

    Nothing else here waits, but for a slug that somebody just creates or edits.
    """
    lock_wait = _SLUG_WAIT if any(outcome.spawn for outcome in outcomes) else None
    return session.enter(now, key=() if request is None else ("lock", request.token), lock_wait=lock_wait)


def _lock(session: Session, now: datetime, request: LockRequest) -> Step:
    values = {
        "kinds": list(request.rooms),
        "rooms": "{" + ",".join(map(str, request.rooms.values())) + "}",
        "node": request.node,
        "instance": request.instance,
        "token": request.token,
        "now": now,
        "known": RECORD_VERSION,
        "take_over": request.take_over,
        "live": list(request.live),
        "until": now + request.lease,
        "lost_reason": _LOST_REASON,
    }
    return session.step(session.sql.lock, values)


async def _locked(session: Session, now: datetime, rows: Sequence[Row]) -> tuple[list[Task], tuple[Unreadable, ...]]:
    """Return the locked tasks in the order in which they were picked, which is that of their lease ids.

    Those that this version cannot read are put off, and are returned apart.
    """
    tasks, unreadable = sorted_out(rows, lambda row: read_task(row, session.namespace))
    if unreadable:
        await _put_off(session, now, [row for row, _ in unreadable])
    in_order = sorted(tasks, key=lambda task: int((task.lease_id or "").rpartition(".")[2]))
    return in_order, tuple(each for _, each in unreadable)


async def _put_off(session: Session, now: datetime, rows: Sequence[Row]) -> None:
    """Give back, by one write, what was just locked and cannot be read; it is due after a pause."""
    values = {
        "slugs": [task_cell(row, "slug") for row in rows],
        "leases": [task_cell(row, "lease_id") for row in rows],
        "ends": [put_off_until(now, (task_cell(row, "run_at"), task_cell(row, "created_at"))) for row in rows],
    }
    try:
        await session.ask_at(now, session.sql.put_off, **values)
    except StoreError as error:  # the other tasks are locked, and must be run; these wait for the end of the lease
        _logger.warning("not put off, though they cannot be read: %s: %s", ", ".join(map(repr, values["slugs"])), error)


def _next_run(session: Session, request: LockRequest) -> Step:
    return session.step(session.sql.next_run, {"kinds": list(request.rooms), "known": RECORD_VERSION})


def _hold_aside(session: Session, outcomes: Sequence[Outcome]) -> list[Step]:
    slugs = {task.slug for outcome in outcomes for task in outcome.spawn}
    return [session.hold_aside(slugs)] if slugs else []


def _reschedule(session: Session, now: datetime, outcomes: Sequence[Outcome], *, handing_back: bool) -> Iterator[Step]:
    """Yield the statements that write the outcomes.

    `handing_back` when nothing is locked in the same call.
    """
    for portion in portions([*enumerate(outcomes)], _size):
        values = {
            "outcomes": batch([_written(ordinal, outcome) for ordinal, outcome in portion]),
            "runs": batch([{"ordinal": ordinal, **record(run)} for ordinal, outcome in portion for run in outcome.runs]),
            "spawn": batch([{"ordinal": ordinal, **definition(task)} for ordinal, outcome in portion for task in outcome.spawn]),
            "now": now,
            "handing_back": handing_back,
        }
        yield session.step(session.sql.reschedule, values)


def _size(numbered: tuple[int, Outcome]) -> int:
    outcome = numbered[1]
    return sum(len(task.payload) for task in (outcome.next, *outcome.spawn) if task is not None)


def _written(ordinal: int, outcome: Outcome) -> JSON:
    task, following = outcome.task, outcome.next
    fence: JSON = {"ordinal": ordinal, "slug": task.slug, "lease_id": task.lease_id, "version": task.version, "gone": following is None}
    return fence if following is None else {**released(following), **fence}


async def _refused(session: Session, outcomes: Sequence[Outcome], written: Sequence[Sequence[Row]]) -> list[Refused]:
    """Ask why the outcomes that are not among those `written` were not.

    Costs a round trip only if there are any.
    """
    slots = {ordinal for rows in written for (ordinal,) in rows}
    unwritten = [outcome for ordinal, outcome in enumerate(outcomes) if ordinal not in slots]
    if not unwritten:
        return []
    slugs, leases = [outcome.task.slug for outcome in unwritten], [outcome.task.lease_id or "" for outcome in unwritten]
    rows = await session.ask_afresh(session.sql.judge, slugs=slugs, leases=leases)
    judged = [_judged(session, unwritten[row[0]], part_of(row, 2), recorded=row[1]) for row in rows]
    return [refused for refused in judged if refused is not None]


def _judged(session: Session, outcome: Outcome, columns: Row, *, recorded: bool) -> Refused | None:
    """Judge by the row as it is now.

    Where lease and version stand, the row was just in somebody else's hands.
    """
    try:
        row = None if columns[0] is None else read_task(columns, session.namespace)
        verdict = judge(row, outcome, recorded=recorded)
    except UnreadableTask:
        row, verdict = None, judge_unreadable(task_cell(columns, "last_lease"), outcome, recorded=recorded)
    return None if verdict == "done" else Refused(outcome=outcome, reason=verdict or "busy", task=row if verdict == "edited" else None)


async def _write_one_by_one(session: Session, now: datetime, outcomes: Sequence[Outcome], *, handing_back: bool) -> list[Refused]:
    """Write each outcome in a transaction of its own.

    One of them fails the statement that it shares with others.

    Raises:
        StoreError: an outcome cannot be kept at all; all the others are written.

    """
    refused: list[Refused] = []
    failure: StoreError | None = None
    for outcome in outcomes:
        aside, steps = _hold_aside(session, [outcome]), _reschedule(session, now, [outcome], handing_back=handing_back)
        try:
            _, *answers = await session.connections.run(_enter(session, now, [outcome]), *aside, *steps)
        except StoreError as error:
            if waited_in_vain(error.__cause__):
                refused.append(Refused(outcome=outcome, reason="busy"))
            elif about_a_row(error.__cause__):
                failure = error
            else:
                raise
        else:
            refused += await _refused(session, [outcome], answers[len(aside) :])
    if failure is not None:
        raise failure
    return refused
