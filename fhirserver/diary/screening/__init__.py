"""Screening and check-ups: the examinations a person is invited to, and what closes each
(docs/screening.md)."""
