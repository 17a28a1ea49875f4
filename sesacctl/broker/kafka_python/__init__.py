"""All that knows kafka-python's insides: what it has no public way for, and what is fixed in it.

Ruff refuses private attributes elsewhere; test_kafka_python_insides.py names each one that is used here, and
pyproject.toml holds kafka-python to the versions that have them.
"""
