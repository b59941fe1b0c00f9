"""Tasks in Google's Firestore. The only package that imports Google's client (extra `firestore`)."""

from detent.stores.firestore.connection import Target
from detent.stores.firestore.store import FirestoreStore
from detent.stores.firestore.url import open_firestore

__all__ = ["FirestoreStore", "Target", "open_firestore"]
