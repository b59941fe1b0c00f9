"""`firestore://project/database?collection=...&listen=...`: the URL that names a Firestore store."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from duly.stores.errors import InvalidStoreURL
from duly.stores.firestore.connection import Target
from duly.stores.firestore.store import FirestoreStore
from duly.stores.passwords import hide_password
from duly.stores.url_options import SPAN_OR_NONE, Option, read_options, split_options

_EXPECTED = "firestore://project/database?collection=name&listen=yes|no&skew_limit=5|none, where only the project is needed"
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]*", re.ASCII)
_DATABASE = re.compile(r"\(default\)|[a-z0-9][a-z0-9-]*", re.ASCII)
_COLLECTION = re.compile(r"(?!__.*__$)(?!\.\.?$)[^/\x00-\x1f\x7f]{1,300}")
_OPTIONS: Mapping[str, Option] = {"skew_limit": SPAN_OR_NONE}
_LISTEN = {"yes": True, "no": False}


def open_firestore(url: str, *, namespace: str) -> FirestoreStore:
    """Return the store that `url` names, not yet open.

    The database is `(default)` and the collection `duly` unless named. `listen=no` saves the reads that wake-ups cost.

    Raises:
        InvalidStoreURL: it is none of this form.

    """
    rest, skew_limit = split_options(url, _OPTIONS)
    limits = read_options(url, skew_limit, _OPTIONS)
    try:
        parts = urlsplit(rest)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise InvalidStoreURL(hide_password(url), _EXPECTED) from error
    given = dict(options)
    database = parts.path.removeprefix("/").removesuffix("/") or "(default)"
    collection, listen = given.pop("collection", "duly"), given.pop("listen", "yes")
    is_understood = (
        not given
        and len(dict(options)) == len(options)
        and not parts.fragment
        and _PROJECT.fullmatch(parts.netloc)
        and _DATABASE.fullmatch(database)
        and _COLLECTION.fullmatch(collection)
        and listen in _LISTEN
    )
    if not is_understood:
        raise InvalidStoreURL(hide_password(url), _EXPECTED)
    target = Target(project=parts.netloc, database=database, collection=collection)
    return FirestoreStore(target, namespace=namespace, listening=_LISTEN[listen], **limits)
