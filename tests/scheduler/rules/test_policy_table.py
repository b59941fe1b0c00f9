"""Every policy in every circumstance.

The real scheduler against a model that was written from the policies' description.

In memory the whole table; in PostgreSQL a selection in which every three values of different columns meet, in Firestore every two.
Under `--selection` one value less meets: three in memory, two in PostgreSQL, and in Firestore each value is tried.
"""

from collections.abc import Iterator

import pytest

from duly.stores.firestore import FirestoreStore, Target
from duly.stores.postgres import PostgresStore
from support.policy_cases import Case, every_case, meetings, selection
from support.policy_model import play
from support.policy_stage import OpenStore, in_memory, perform
from support.postgres import emptied, migrated
from support.selection import chosen_of

_SCHEMA = "policies"
_IN_POSTGRES, _IN_FIRESTORE = selection(3), selection(2)


@pytest.mark.parametrize("case", chosen_of(every_case(), _IN_POSTGRES.__contains__))
async def test_the_scheduler_does_what_the_model_says(case: Case) -> None:
    """The same starts, runs, dropped fires and next fire."""
    assert await perform(case.scenario, in_memory()) == play(case.scenario)


@pytest.fixture(scope="session")
def policies_url(postgres_url: str) -> str:
    """The shared server, with a schema for these tests in it."""
    return migrated(postgres_url, _SCHEMA)


@pytest.fixture
def in_postgres(policies_url: str) -> Iterator[OpenStore]:
    """Stores on one schema, emptied after each test."""
    yield lambda: PostgresStore(policies_url, schema=_SCHEMA, skew_limit=None)
    emptied(policies_url, _SCHEMA)


@pytest.mark.postgres
@pytest.mark.parametrize("case", chosen_of(_IN_POSTGRES, selection(2, _IN_POSTGRES).__contains__))
async def test_the_scheduler_does_the_same_on_postgres(case: Case, in_postgres: OpenStore) -> None:
    """Whatever the policies keep from one run to the next is kept in the row."""
    assert await perform(case.scenario, in_postgres) == play(case.scenario)


@pytest.mark.firestore
@pytest.mark.parametrize("case", chosen_of(_IN_FIRESTORE, selection(1, _IN_FIRESTORE).__contains__))
async def test_the_scheduler_does_the_same_on_firestore(case: Case, firestore_project: str) -> None:
    """Whatever the policies keep from one run to the next is kept in the document."""
    target = Target(project=firestore_project)
    history = await perform(case.scenario, lambda: FirestoreStore(target, skew_limit=None))

    assert history == play(case.scenario)


@pytest.mark.parametrize(("size", "most"), [(2, 30), (3, 120)])
def test_in_a_selection_every_so_many_values_meet(size: int, most: int) -> None:
    """And it is small."""
    chosen = selection(size)

    assert set().union(*(meetings(case, size) for case in chosen)) == set().union(*(meetings(case, size) for case in every_case()))
    assert len(chosen) <= most
