"""Process 2, the control plane: the JSON API and the dashboard, Flask under gunicorn.

People and programs report outcomes here, apply files and steer experiments; everybody reads verdicts here. It talks to
the other processes through flags and events in Redis only.

Never here: a decision of its own (it asks ``decision.act`` and writes what that says), a fold, or a page that needs
JavaScript.
"""

from __future__ import annotations

from router.api.factory import create_app

__all__ = ["create_app"]
