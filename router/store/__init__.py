"""The one door to Redis. A plane takes only the stores it needs.

Never here: a decision, a retry inside the client, an unbounded call, or a key spelled outside ``keys.py``.
"""
