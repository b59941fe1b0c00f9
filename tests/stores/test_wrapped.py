"""A wrapper that overrides nothing does what the store within does."""

import inspect
from typing import Any, cast

import pytest

from duly.stores import BaseStore, JobStore, WrappedStore

FORWARDED = sorted(BaseStore.__abstractmethods__ - {"sibling", "listen"})


class Recorder:
    """A store within that notes how it was called, and answers with something of its own."""

    namespace = "tenant"

    def __init__(self) -> None:
        self.calls: list[tuple[str, inspect.BoundArguments]] = []
        self.answer = object()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method of a store
        signature = inspect.signature(getattr(JobStore, name))

        async def call(*positional: object, **named: object) -> object:
            self.calls.append((name, signature.bind(self, *positional, **named)))
            return self.answer

        return call


@pytest.mark.parametrize("name", FORWARDED)
async def test_a_call_goes_to_the_store_within_as_it_came(name: str) -> None:
    """With every argument where it belongs; its answer comes back."""
    within = Recorder()
    method = getattr(WrappedStore(cast("JobStore", within)), name)
    given = {each: object() for each in inspect.signature(method).parameters}

    answer = await method(**given)

    ((called, arguments),) = within.calls
    del arguments.arguments["self"]
    assert (called, dict(arguments.arguments)) == (name, given)
    assert answer is (None if inspect.signature(method).return_annotation is None else within.answer)


def test_what_is_heard_within_is_heard() -> None:
    """The listening of the store within is handed out as it is."""

    class Heard(Recorder):
        def listen(self) -> object:
            return self.answer

    within = Heard()

    assert cast("object", WrappedStore(cast("JobStore", within)).listen()) is within.answer


def test_a_wrapper_leaves_nothing_to_write() -> None:
    """It is a whole store."""
    assert not WrappedStore.__abstractmethods__
