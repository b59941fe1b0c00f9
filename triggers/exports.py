"""The one name by which an exported class or function is known: that of the package which exports it.

Names of classes are stored (`RetryPolicy.never`), pickled between processes, shown in tracebacks and searched for in logs. Said of
the room in which a class happens to be written, they would change whenever it moves.

The annotations of functions and methods resolve as before, in the module where they are written; those of a class that are
written as text resolve in its public package. `inspect.getsource` finds functions and methods, but no class any more: it looks
for a class in the file of its module only.
"""

import sys
from types import FunctionType

__all__ = ["name_exports"]


def name_exports(package: str) -> None:
    """Say of every class and function in `package.__all__` that it is defined in `package`.

    Called last in its `__init__`.

    What a package passes on from another one keeps the name that it has from there.
    """
    module = sys.modules[package]
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type | FunctionType) and value.__module__.startswith(f"{package}."):
            value.__module__ = package
