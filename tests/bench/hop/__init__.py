"""What one hop through the gateway costs, beside others in the same round: the parts of ``./run bench gateway``.

The rules of all rows: the measured runs alone on the first core; model servers, load and Redis on the last one. Who goes
first changes each round, and a ratio is taken inside one round. An answer that is not the right one voids its round; a
round in which the measured core was not busy does not count while there are others, since idle wake-ups make requests
look dear. Nothing is asserted about time.
"""
