"""No way into a store leads past the namespace.

Every method is tried from another one, every statement and every path names it.
"""

import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path

import pytest
from attrs import fields

from duly.stores import JobStore, postgres
from duly.stores.conformance import StoreConformance
from duly.stores.conformance.tenants import TRIED, UNTRIED
from duly.stores.postgres.statements import PARTS, Statements, source

STATEMENTS = {each.name: source(each.name) for each in fields(Statements)}
FIRESTORE = Path(str(files("duly.stores.firestore")))

WITHOUT_A_TABLE = {
    "by_values": "sets how the next statement is planned",
    "enter": "compares clocks and takes turns; its key begins with schema and namespace",
    "notify": "sends to a channel, whose name is made of schema and namespace",
    "now": "tells the time",
}
"""The statements that touch nobody's rows, and what they do instead."""

_TABLE = re.compile(r"\{schema\}\.(\w+)")
_INSERTED = re.compile(r"\s*\(\s*namespace\b[^)]*\)\s*(?:SELECT|VALUES \()\s*%\(namespace\)s,")
_NAMED = re.compile(r"(?:\w+\.)?namespace = %\(namespace\)s")
_BY_PLACE = re.compile(r"\w\.ctid = ANY \(ARRAY \(SELECT tid FROM \w+")


def test_every_method_of_a_store_is_tried_from_another_namespace() -> None:
    """Or there is a reason why not; a new method is not forgotten."""
    members = {name for name, value in vars(JobStore).items() if callable(value) or isinstance(value, property)}
    members -= {name for name in members if name.startswith("_") and name not in {"__aenter__", "__aexit__"}}

    assert members == {*TRIED, *UNTRIED}
    assert not TRIED.keys() & UNTRIED.keys()


@pytest.mark.parametrize("method", TRIED)
def test_the_tests_that_try_a_method_are_in_the_suite(method: str) -> None:
    """They exist, and call it on another tenant's store, or have it called by `async with`."""
    assert TRIED[method]
    for name in TRIED[method]:
        assert callable(getattr(StoreConformance, name)), name


def test_every_file_of_sql_is_a_statement_or_a_part_of_one() -> None:
    """So that the tests below read all of them."""
    assert {path.name for path in (files(postgres) / "sql").iterdir()} == {f"{name}.sql" for name in (*STATEMENTS, *PARTS)}
    assert all(f"{{{part}}}" not in text for part in PARTS for text in STATEMENTS.values())


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - WITHOUT_A_TABLE))
def test_every_mention_of_a_table_in_a_statement_is_bound_to_the_namespace(name: str) -> None:
    """Found by it, written with it, or addressed by places that were found by it in the same statement."""
    mentions = list(_mentions(STATEMENTS[name]))

    assert mentions
    for table, before, after in mentions:
        bound = _INSERTED.match(after) if before.endswith("INSERT INTO ") else _NAMED.search(after) or _BY_PLACE.search(after)
        assert bound, f"{table} in {before[-40:]!r}...{after[:80]!r}"


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_conflict_is_one_within_the_namespace(name: str) -> None:
    """What stands in one namespace keeps nothing out of another."""
    for target in re.findall(r"ON CONFLICT\s+(.{10})", STATEMENTS[name]):
        assert target == "(namespace"


def test_the_statements_that_name_no_table_are_those_that_are_listed() -> None:
    """With what they do instead."""
    assert {name for name, text in STATEMENTS.items() if not list(_mentions(text))} == WITHOUT_A_TABLE.keys()


def test_every_table_of_the_schema_begins_its_key_with_the_namespace() -> None:
    """And so does every index: a statement that forgot it would at least be slow."""
    migrations = "".join(path.read_text("utf-8") for path in (files(postgres) / "migrations").iterdir() if path.name.endswith(".sql"))
    tables, keys = re.findall(r"CREATE TABLE \{schema\}\.(\w+)", migrations), re.findall(r"PRIMARY KEY \((\w+)", migrations)

    assert keys == ["namespace"] * len(tables)
    assert set(re.findall(r"CREATE INDEX \w+ ON \{schema\}\.\w+ \((\w+)", migrations)) == {"namespace"}


def test_collections_of_firestore_are_made_under_the_namespace_and_nowhere_else() -> None:
    """In one place.

    No query runs over the collections of all namespaces, and nobody else takes a path from the client.
    """
    sources = {path.name: path.read_text("utf-8") for path in FIRESTORE.glob("*.py")}
    made = {(name, call) for name, text in sources.items() for call in re.findall(r"[\w.]+\.collection\(.*", text)}

    assert {name for name, _ in made} == {"tenant.py"}
    assert len([call for _, call in made if call.startswith("self.root.collection(")]) == len(made) - 1
    assert any("collection(connection.target.collection).document(document_id(namespace))" in call for _, call in made)
    assert not [name for name, text in sources.items() if "collection_group" in text or "client.document(" in text]


def _mentions(statement: str) -> Iterator[tuple[str, str, str]]:
    """Yield each mention of a table, with what stands before it and, up to the next mention, after it."""
    text = re.sub(r"--.*", "", statement)
    found = [each for each in _TABLE.finditer(text) if text[each.end() : each.end() + 1] != "("]
    for each, following in zip_longest(found, found[1:]):
        yield each[1], text[: each.start()], text[each.end() : following and following.start()]
