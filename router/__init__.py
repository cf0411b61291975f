"""Pointsman: A/B testing and canary releases for machine-learned models.

request -> unit -> assignment -> upstream -> exposure + outcomes -> moments -> evidence -> verdict -> decision -> flag
-> next request. The modules of this folder are pure nouns: no socket, no clock, no environment, no log.
"""

__version__ = "0.1.0"
