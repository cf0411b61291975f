"""A fault on purpose, for ``--scenario srm``: a gateway that forgets the exposures of half of the treatment's units.

It is the ordinary gateway started by the ordinary entry; only the recorder's door is changed, here and nowhere in the
product, so that no switch for losing data exists in it.
"""

from __future__ import annotations

import os

from router.gateway import app
from router.gateway.recorder import Recorder
from router.gateway.run_buffer import Block, RunBuffer
from router.settings import Settings


def lose_half_of_the_treatment() -> None:
    """Forget half of the treatment's units before they are recorded, and count them nowhere: a silent mistake."""
    exposed = Recorder.exposed

    def forgetful(
        self: Recorder, buffer: RunBuffer, revision: int, unit: int, time: int, where: int, treatment: bool
    ) -> tuple[Block, int] | None:
        if treatment and unit & 1:
            return None
        return exposed(self, buffer, revision, unit, time, where, treatment)

    Recorder.exposed = forgetful  # type: ignore[method-assign]


def main() -> None:
    """Serve as ``pointsman gateway`` does."""
    lose_half_of_the_treatment()
    app.serve(Settings.load(os.environ))


if __name__ == "__main__":
    main()
