"""Endpoints with which a bridge asks what it may forget, reports its cleanups, and has us clean up accounts."""

from datetime import timedelta
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.housekeeping import cleanup
from api.http.strict_json import parse_object
from webhooks import rate_limits
from webhooks.authentication import bridge_of
from webhooks.bridge_api import reports
from webhooks.bridge_api.responses import account_row
from webhooks.bridge_api.serializers import Cleanup, CleanupLog, StaleCleanup
from webhooks.bridge_api.views.bridge_view import BridgeView
from webhooks.credentials import BridgeOrToken, accounts_in, all_accounts
from webhooks.models import StoredReport


class AccountsForCleanup(BridgeView):
    """GET accounts-for-cleanup: what a Node bridge may forget. It forgets whatever it is given, connected or not."""

    def get(self, request: Request) -> Response:
        rows = [account_row(session) for session in cleanup.for_cleanup(bridge_of(request))]
        return Response({"success": True, "data": rows})


class CleanupLogs(BridgeView):
    """POST cleanup-logs."""

    def post(self, request: Request) -> Response:
        log = self.fields(request, CleanupLog)
        rate_limits.charge_stray(bridge_of(request))
        reports.keep(bridge_of(request), StoredReport.Kind.CLEANUP, raw=request.body, payload=log)
        return Response({"success": True})


class CleanupStats(BridgeView):
    """GET cleanup-stats."""

    def get(self, request: Request) -> Response:
        return Response({"success": True, "data": cleanup.stats_of(bridge_of(request))})


class AskedByOperators(BridgeView):
    """What operators may ask for as well is read as strictly as all that they ask for."""

    authentication_classes = [BridgeOrToken]

    def parse(self, raw: bytes) -> dict[str, Any]:
        return parse_object(raw)


class CleanUp(AskedByOperators):
    """POST accounts/cleanup."""

    def post(self, request: Request) -> Response:
        asked = self.fields(request, Cleanup)
        accounts = accounts_in(request, asked["workspace_id"])
        cleaned = cleanup.clean(accounts, statuses=asked["cleanup_statuses"], phone=asked["phone_number"])
        return Response({"success": True, "cleaned_count": cleaned})


class CleanUpStale(AskedByOperators):
    """POST accounts/cleanup-stale."""

    def post(self, request: Request) -> Response:
        asked = self.fields(request, StaleCleanup)
        cleaned = cleanup.clean_stale(
            all_accounts(request),
            attempts_after=timedelta(minutes=asked["stale_threshold_minutes"]),
            links_after=timedelta(hours=asked["disconnect_threshold_hours"]),
        )
        breakdown = {"qr_scanning": cleaned.attempts, "disconnected": cleaned.links}
        return Response({"success": True, "cleaned_count": sum(breakdown.values()), "breakdown": breakdown})
