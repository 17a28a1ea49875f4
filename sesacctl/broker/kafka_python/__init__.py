"""All that knows kafka-python's insides."""
