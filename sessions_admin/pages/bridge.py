"""The part of a bridge's page above its form: whether it works, what is wrong with it, what was done about it."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.bridges import choosing
from accounts.bridges.library_versions import Advisory, advisory
from accounts.models import Bridge, BridgeOrder, Incident, LinkSession, ReconcileRun, StraySession
from sessions_admin import bridge_display, display
from sessions_admin.labels import INCIDENTS
from sessions_admin.visibility import way_to, way_to_list

NEWEST = 8  # rows of a table; the links lead to all of them


@dataclass(frozen=True)
class IncidentLine:
    kind: str
    url: str
    summary: str
    meaning: str | Promise
    todo: str | Promise
    since: SafeString | str


@dataclass(frozen=True)
class StrayLine:
    session_id: str
    url: str
    said: str
    last: SafeString | str


@dataclass(frozen=True)
class BridgePage:
    state: SafeString
    tone: str
    library: SafeString | str
    advisory: Advisory | None
    advisory_tone: str
    why_not: list[str]
    facts: list[tuple[str, str]]
    links: list[tuple[str, str]]
    incidents: list[IncidentLine]
    strays: list[StrayLine]
    runs: list[ReconcileRun]


def page_of(bridge: Bridge, request: HttpRequest) -> BridgePage:
    """`bridge` comes from `choosing.with_load`."""
    known = advisory(bridge.library, bridge.version)
    why_not = choosing.why_not(bridge)
    incidents = bridge.incidents.filter(closed_at__isnull=True).order_by("-pk")
    strays = bridge.strays.filter(settled_at__isnull=True).order_by("-pk")
    return BridgePage(
        state=bridge_display.state(bridge),
        tone=_tone(bridge, why_not),
        library=bridge_display.library(bridge),
        advisory=known,
        advisory_tone=bridge_display.ADVISORY_TONES[known.level] if known else "",
        why_not=why_not,
        facts=_facts(bridge),
        links=_links(bridge, request),
        incidents=[_incident(row, request) for row in incidents],
        strays=[_stray(row, request) for row in strays[:NEWEST]],
        runs=list(bridge.reconciles.order_by("-pk")[:NEWEST]),
    )


def _tone(bridge: Bridge, why_not: list[str]) -> str:
    if bridge_display.is_down(bridge):
        return "bad"
    return "wait" if why_not else "good"


def _facts(bridge: Bridge) -> list[tuple[str, str]]:
    facts = [
        (_("Sessions"), bridge_display.load(bridge)),
        (_("Pairings"), bridge_display.pairings(bridge)),
        (_("Last heard of"), display.moment(bridge.last_heard_at)),
        (_("Last heartbeat"), display.moment(bridge.last_heartbeat_at)),
        (_("Last polled"), display.moment(bridge.last_polled_at)),
    ]
    if bridge.sessions_reported is not None:
        facts.append((_("It says that it runs"), str(bridge.sessions_reported)))
    if bridge.booted_at:
        facts.append((_("Its process started"), display.moment(bridge.booted_at)))
    if bridge.version_2_since:
        facts.append((_("Signs by version 2 since"), display.moment(bridge.version_2_since)))
    if bridge.last_error:
        facts.append((_("Last problem"), bridge.last_error))
    if bridge.failing_since:
        facts.append((_("Refuses orders since"), display.moment(bridge.failing_since)))
    if bridge.orders_wait_until:
        facts.append((_("Next order"), display.moment(bridge.orders_wait_until)))
    return facts


def _links(bridge: Bridge, request: HttpRequest) -> list[tuple[str, str]]:
    of_bridge = {"bridge__id__exact": bridge.pk}
    links = [
        (_("Its link sessions"), way_to_list(request, LinkSession, **of_bridge)),
        (_("Its orders"), way_to_list(request, BridgeOrder, **of_bridge)),
        (_("All incidents"), way_to_list(request, Incident, **of_bridge)),
        (_("All reconciles"), way_to_list(request, ReconcileRun, **of_bridge)),
        (_("Unknown sessions"), way_to_list(request, StraySession, **of_bridge)),
    ]
    return [(text, url) for text, url in links if url]


def _incident(row: Incident, request: HttpRequest) -> IncidentLine:
    said = INCIDENTS[row.kind]
    return IncidentLine(
        kind=row.get_kind_display(),
        url=way_to(request, row),
        summary=row.summary,
        meaning=said.meaning,
        todo=said.todo,
        since=display.age(row.opened_at),
    )


def _stray(row: StraySession, request: HttpRequest) -> StrayLine:
    return StrayLine(row.session_id, way_to(request, row), row.status or "–", display.age(row.last_seen_at))
