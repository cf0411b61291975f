"""Pure functions of numbers: sequential tests, valid at every look.

Arm 0 is control, arm 1 is treatment, an effect is arm 1 minus arm 0. Every test is a natural-log e-value: under its
null hypothesis the expectation of e is at most 1 at every stopping time, so rejecting at ``log(1/alpha)`` is an error
with probability at most alpha however often one looks.

Never here: I/O, a clock, a random number, or a decision.
"""
