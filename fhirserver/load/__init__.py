"""Files into a database or a running server; a rerun finishes what an interruption left.

A path gives sources (`sources.py`), a source gives items (`items.py`: JSON documents or lines), an
item gives entries (`bundle.py`), each with the logical id it has in every run (`identity.py`).
`prepare.py` validates and indexes them in worker processes, `database.py` writes them,
`server.py` sends them over HTTP instead.
"""
