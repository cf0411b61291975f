"""Everything on this machine: the Redis ladder, and child processes that never outlive their parent.

Never here: a second supervisor. Each child asks the kernel to end it with its parent, so that even SIGKILL of the
parent leaves no process and no listening port.
"""
