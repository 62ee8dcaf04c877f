"""`python -m benchmarks`: how fast the server is, beside what bounds it on the same machine.

Ratios are taken within one run: rounds of the server and of its limit take turns, and the medians
are compared. Absolute figures depend on the machine; its facts are printed with them.
"""
