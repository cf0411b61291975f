"""The story as data: two apps, their routes and experiments, what the demo shortens, and the scenarios.

Every experiment file here is an ordinary one; what a demo must shorten (windows, step times, step units) stands in
``SHORTENED`` beside its production value, and is printed before anything starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MODEL_PATH = "/v2/models/digits"
RATE = 170.0  # visits per second and app
SHORTENED = (
    ("window of an outcome", "5 s", "1 h"),
    ("grace for late outcomes", "1 s", "60 s"),
    ("least time of a step", "5 s, the last 15 s", "10 min"),
    ("least treatment units of a step", "5, 20, 100", "100"),
)


@dataclass(frozen=True, slots=True)
class Cast:
    """One app and the experiment on its route."""

    app: str
    experiment: str
    treatment: str
    kind: str
    ramp: tuple[tuple[str, str, int], ...]  # (share of traffic, least time, least units) per step
    ends: str  # the state in which the story wants it to end
    twin_of: str = "v1"  # the server behind the arm `twin`, for A/A tests
    mde: str = "10 pp"
    window: str = "5 s"
    grace: str = "1 s"

    @property
    def route(self) -> str:
        """The route of this app."""
        return f"digits-{self.app}"

    @property
    def path(self) -> str:
        """What the app posts its scans to."""
        return f"/{self.app}{MODEL_PATH}/infer"


WEB_RAMP = (("1%", "5 s", 5), ("5%", "5 s", 20), ("25%", "15 s", 100))
# At 10 % of traffic v3 is gone before the threshold rule's third check; at 6 % both judges have spoken.
PHONE_RAMP = (("6%", "15 s", 20), ("25%", "15 s", 100))
AA_RAMP = (("50%", "15 s", 100),)

CANARIES = (
    Cast("web", "digits-v2", "v2", "canary", WEB_RAMP, "promoted", twin_of="v2"),
    Cast("phone", "digits-v3", "v3", "canary", PHONE_RAMP, "rolled_back"),
)
GOOD_ONLY = (Cast("web", "digits-v2", "v2", "canary", WEB_RAMP, "not promoted"),)
AA_PAIR = (
    Cast("web", "digits-aa-web", "twin", "ab", AA_RAMP, "not promoted"),
    Cast("phone", "digits-aa-phone", "twin", "ab", AA_RAMP, "not promoted"),
)
# A person at /try takes minutes, not seconds.
AFTERWARDS = Cast(
    "web",
    "digits-aa",
    "twin",
    "ab",
    AA_RAMP,
    "open",
    twin_of="v2",
    mde="0.5 pp",
    window="10 min",
    grace="1 min",
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story: who plays, what is broken, how long it runs, and how it must end."""

    name: str
    cast: tuple[Cast, ...]
    lasts_s: float
    tells: str
    within_s: Mapping[str, float] = field(default_factory=dict)  # experiment -> the time it may take
    traffic: bool = True
    mute_treatment: bool = False
    lose_exposures: bool = False
    kill_redis_at_s: float | None = None


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "story",
            CANARIES,
            120.0,
            "v2 is better and is promoted; v3 is worse and is rolled back",
            {"digits-v2": 90.0, "digits-v3": 30.0},
        ),
        Scenario("aa", AA_PAIR, 45.0, "both arms are the same model: nobody may win"),
        Scenario("no-traffic", GOOD_ONLY, 20.0, "nobody visits: no data never promotes", traffic=False),
        Scenario(
            "redis-down",
            GOOD_ONLY,
            30.0,
            "Redis is killed and stays dead: routing goes on, nothing is decided",
            kill_redis_at_s=8.0,
        ),
        Scenario(
            "srm",
            GOOD_ONLY,
            50.0,
            "half of the treatment's exposures are lost: the counts cannot be trusted",
            lose_exposures=True,
        ),
        Scenario(
            "silent-feedback",
            GOOD_ONLY,
            45.0,
            "the treatment's page has lost its report buttons: silence is no success",
            mute_treatment=True,
        ),
    )
}


def route_text(cast: Cast, ports: dict[str, int], default: str = "v1") -> str:
    """The route file of one app; several arms may share a server, as ``twin`` does."""
    servers = {"v1": "v1", "v2": "v2", "v3": "v3", "twin": cast.twin_of}
    arms = "\n".join(
        f"  {arm}: {{upstream: http://127.0.0.1:{ports[server]}{MODEL_PATH}}}"
        for arm, server in servers.items()
    )
    return f"""\
route: {cast.route}
match: {{path: /{cast.app}{MODEL_PATH}}}
unit: {{kind: person, from: [header:x-person, cookie:pm_unit], on_missing: control}}
arms:
{arms}
default: {default}
"""


def experiment_text(cast: Cast, control: str = "v1") -> str:
    """The experiment file of one app."""
    steps = "\n".join(
        f"  - {{traffic: {traffic}, time: {time}, units: {units}}}" for traffic, time, units in cast.ramp
    )
    harm = "1%" if cast.kind == "canary" else "5%"
    window = f"window: {cast.window}, grace: {cast.grace}"
    return f"""\
experiment: {cast.experiment}
route: {cast.route}
kind: {cast.kind}
control: {control}
treatment: {cast.treatment}
goal: {{metric: corrected, kind: proportion, better: lower, mde: {cast.mde}, {window}, absent: missing}}
guardrails:
  - {{metric: errors, margin: 1 pp, {window}}}
  - {{metric: slow, over: 500 ms, margin: 5 pp, {window}}}
ramp:
{steps}
alpha: {{promote: 5%, harm: {harm}}}
deadline: 1 h
"""
