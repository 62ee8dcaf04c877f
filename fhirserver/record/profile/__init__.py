"""The medical profile: what a record says of a person beside its documents
(docs/medical-profile.md)."""
