"""The permitted store: the only way to resources, bound to one caller.

Every read and write of the server goes through an instance of `PermittedStore`. It ANDs the
caller's predicate into each query before the engine pages, and judges single reads, vreads,
history and writes with the same predicate in memory. In open mode the predicate is `Everything`.
"""

from __future__ import annotations
