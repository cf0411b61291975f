"""Entity tags in the conditions of a request."""

from __future__ import annotations


def names(header: str) -> list[str]:
    """The tags that If-Match or If-None-Match name, weak, strong or bare; ``*`` stands for any."""
    parts = (part.strip().removeprefix("W/").strip('"') for part in header.split(","))
    return [part for part in parts if part]
