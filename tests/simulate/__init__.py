"""What the tests do in practice: error rates and efficiency with a look after every batch, seeded.

Formulas are the product's own, read from ``stats`` and ``router``; here are only worlds, counting and tables.
"""
