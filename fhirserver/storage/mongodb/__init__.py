"""The MongoDB storage engine."""

from fhirserver.storage.mongodb.store import MongoStore

__all__ = ["MongoStore"]
