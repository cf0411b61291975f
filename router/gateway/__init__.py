"""Process 1, the data plane: reads a request, finds its unit and arm, passes it on, records what happened.

Never here: flask, pydantic, numpy, scipy, stats, the API or the controller, even through another module; a wait for
Redis or for the disk on the path of a request; a raw unit outside this process.
"""
