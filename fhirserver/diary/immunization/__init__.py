"""Vaccination: what was given, what it counts for, and what is due by the French calendar
(docs/vaccination.md)."""
