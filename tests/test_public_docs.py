"""Everything exported says what it is.

Fields, members of enumerations, attributes of errors, properties and methods.
"""

import ast
from collections.abc import Iterator

import pytest

from support.public_names import definition, exported_classes, family

CLASSES = exported_classes()


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_everything_public_in_an_exported_class_says_what_it_is(kind: type) -> None:
    """There or in a class that it is derived from."""
    said = {name for each in family(kind) for name in _documented(definition(each))}
    assert {name for each in family(kind) for name in _public(definition(each))} - said == set()
    assert kind.__doc__


def _public(statement: ast.ClassDef) -> Iterator[str]:
    """Yield the public names that a class statement brings in, and what its constructor sets."""
    for node in statement.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _unless_private(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            for target in [node.target] if isinstance(node, ast.AnnAssign) else node.targets:
                yield from _unless_private(ast.unparse(target))
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and ast.unparse(inner.value) == "self":
                    yield from _unless_private(inner.attr)


def _documented(statement: ast.ClassDef) -> Iterator[str]:
    """Yield the names of a class statement that have a docstring.

    In them, or under a field or an attribute.
    """
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if ast.get_docstring(node):
                yield node.name
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                    if isinstance(before, ast.AnnAssign):
                        yield ast.unparse(before.target).removeprefix("self.")
                    elif isinstance(before, ast.Assign):
                        yield from (ast.unparse(target).removeprefix("self.") for target in before.targets)


def _unless_private(name: str) -> list[str]:
    return [] if name.startswith("_") else [name]
