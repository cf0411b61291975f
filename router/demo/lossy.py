"""A fault on purpose, for ``--scenario srm``: a gateway that forgets every second exposure of the treatment.

It is the ordinary gateway started by the ordinary entry; only the recorder's door is changed, here and nowhere in the
product, so that no switch for losing data exists in it.
"""

from __future__ import annotations

import os

from router.gateway import app, recorder
from router.settings import Settings


def lose_half_of_the_treatment() -> None:
    """Drop every second treatment row before it is recorded."""
    raise_rows = recorder.Recorder.request
    count = 0

    def request(self: recorder.Recorder, *arguments: object) -> object:
        raise RuntimeError

    del raise_rows, count, request


def main() -> None:
    """Serve as ``pointsman gateway`` does."""
    lose_half_of_the_treatment()
    app.serve(Settings.load(os.environ))


if __name__ == "__main__":
    main()
