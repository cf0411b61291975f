"""The exit codes of every command."""

from __future__ import annotations

YES = 0
NO = 1
TROUBLE = 2
NOT_DECIDED = 3
