"""Fixtures over both kinds of server: of each in turn, or of all together."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.three_stores import Servers


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("firestore", marks=pytest.mark.firestore)])
def server_url(request: pytest.FixtureRequest) -> str:
    """The address of a store on PostgreSQL, and in the next test one on Firestore."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"firestore://{request.getfixturevalue('firestore_project')}"


@pytest.fixture
def servers(postgres_url: str, firestore_project: str) -> "Servers":
    """What the three stores need to stand side by side."""
    from support.three_stores import Servers  # noqa: PLC0415 - as in `support.postgres`, not before coverage begins

    return Servers(postgres_url, firestore_project)
