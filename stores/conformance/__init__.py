"""The one suite that every store passes; a third party runs it on a store of its own.

Subclass `StoreConformance` in a test module, and say how to make a store::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def make_store(self) -> MakeStore:
            data = MyData()  # fresh for each test
            return lambda namespace: MyStore(data, namespace=namespace)

What a store cannot do it declares in the class (`supports_substring_search = False`); the suite then asks that it says so.
It needs pytest and pytest-asyncio (extra `conformance`). For readable assertions, call
`pytest.register_assert_rewrite("duly.stores.conformance")` in `conftest.py` before anything imports this package.
Time is an argument: no test waits for a lease to end.
"""

from duly.stores.conformance.suite import MakeStore, StoreConformance
from duly.triggers.exports import name_exports

__all__ = ["MakeStore", "StoreConformance"]

name_exports(__name__)
