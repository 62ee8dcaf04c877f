"""The audit trail: who saw or changed what, of which patient, when, in which role and mode.

An access is a compact record in the store's append-only log before its data is sent (`trail.py`);
AuditEvent resources are made of the records afterwards (`materialise.py`).
"""
