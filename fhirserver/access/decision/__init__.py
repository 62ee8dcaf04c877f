"""The decision: which resources a caller may see and write, rule by rule.

Each rule is one small file; `policy.py` puts them together into one expression for each action
and resource type, `explain.py` tells which of them refused. The order is that of docs/access.md.
"""
