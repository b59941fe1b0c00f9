"""The history is cut back, by age or by count."""

from datetime import datetime

from google.cloud.firestore_v1.base_query import FieldFilter

from duly.stores.firestore.tenant import BATCH, Tenant


async def prune(tenant: Tenant, before: datetime | None, keep: int | None, limit: int) -> int:
    """Delete old runs: by age one read and one delete for each; by count one read for every run that there is."""
    doomed: list[str] = []
    if before is not None:
        query = tenant.runs.where(filter=FieldFilter("finished_at", "<", before)).order_by("finished_at").select([]).limit(limit)
        doomed = [found.id for found in await tenant.connection.query(query)]
    if keep is not None and len(doomed) < limit:
        doomed += await _beyond(tenant, keep, limit - len(doomed), set(doomed))
    await tenant.delete_all(tenant.runs.document(each) for each in doomed)
    return len(doomed)


async def _beyond(tenant: Tenant, keep: int, limit: int, doomed: set[str]) -> list[str]:
    """Return up to `limit` runs that are older than the `keep` newest of their task, task by task; Firestore cannot rank."""
    found: list[str] = []
    query = tenant.runs.order_by("slug").order_by("finished_at", direction="DESCENDING").order_by("__name__", direction="DESCENDING")
    query = query.select(["slug", "finished_at"]).limit(BATCH)
    asked, slug, seen = query, None, 0
    while page := await tenant.connection.query(asked):
        for each in page:
            seen = seen + 1 if each.row.fields["slug"] == slug else 1
            slug = each.row.fields["slug"]
            if seen > keep and each.id not in doomed:
                found.append(each.id)
            if len(found) == limit:
                return found
        last = page[-1]
        asked = query.start_after({**last.row.fields, "__name__": tenant.runs.document(last.id)})
    return found
