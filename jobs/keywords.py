"""Keywords that nobody knows, refused by naming those that there are."""

from collections.abc import Iterable


def check_keywords(call: str, given: Iterable[str], known: Iterable[str], hint: str = "") -> None:
    """Refuse, for a `call` that is so named, what is not `known`, as Python does.

    `hint` says where else it may belong.

    Raises:
        TypeError: names the first that is unknown, and all that are known.

    """
    names = tuple(known)
    for name in given:
        if name not in names:
            raise TypeError(f"{call} got an unexpected keyword argument {name!r}: expected {', '.join(names)}{hint}")
