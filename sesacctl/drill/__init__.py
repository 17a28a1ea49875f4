"""Drills: one fault on the local stack and its loop, watched from outside until all is well, and an audit at the end.

Above `pipeline` and `stack`, as it needs both; the storms of `tests/faults` use the same injectors.
"""
