"""Tasks in Google's Firestore. The only package that imports Google's client (extra `firestore`)."""

from duly.stores.firestore.connection import Target
from duly.stores.firestore.store import FirestoreStore
from duly.stores.firestore.url import open_firestore
from duly.triggers.exports import name_exports

__all__ = ["FirestoreStore", "Target", "open_firestore"]

name_exports(__name__)
