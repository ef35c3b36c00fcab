"""The public linking page. Opening it changes nothing (chat programs open links): a pairing starts by POST."""

from math import ceil
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST, require_safe

from accounts import phones
from accounts.lifecycle import SCAN_WITHIN
from accounts.models import LinkInvitation, LinkSession
from accounts.pairing import attempts
from accounts.pairing.attempts import PairingRefused
from accounts.pairing.codes import ask_pairing_code
from accounts.snapshots import View
from linking import page_state
from linking.access import invited, keep_private, refuse, wants_json
from linking.csrf_origin import knows_own_forms
from linking.screens import CODE_FACES, MESSAGE_FACES, REFUSED, title_of

# After these refusals the page joins: somebody else has started the attempt, perhaps in another tab.
JOINED = frozenset({"PAIRING_IN_PROGRESS", "ALREADY_CONNECTED"})
STATUSES = {
    "NO_BRIDGE_AVAILABLE": 503,
    "TOO_MANY_PAIRINGS": 429,
    "PAIRING_COOLDOWN": 429,
    "CODE_UNDER_WAY": 429,
    "TOO_MANY_CODES": 429,
    "INVALID_NUMBER": 400,
}
MOVING = frozenset(
    {View.WAITING, View.PREPARING, View.SCAN, View.ACTION, View.FINISHING, View.CHECKING, View.RECONNECTING}
)
LANGUAGE_NAMES = [(code, get_language_info(code)["name_local"]) for code, _name in settings.LANGUAGES]
LANGUAGE_KEPT = 365 * 24 * 3600  # seconds


@require_safe
@invited
def page(request: HttpRequest, invitation: LinkInvitation) -> HttpResponse:
    if request.GET.get("lang") in dict(settings.LANGUAGES):
        return _switch_language(request, request.GET["lang"])
    return _show(request, invitation)


@require_safe
@invited
def snapshot(request: HttpRequest, invitation: LinkInvitation) -> HttpResponse:
    return JsonResponse(page_state.take(invitation.account_id))


@require_safe
@invited
def qr_png(request: HttpRequest, invitation: LinkInvitation) -> HttpResponse:
    """Serve the code as an image, for bridges that send nothing else."""
    state = page_state.take(invitation.account_id)
    session = LinkSession.objects.filter(session_id=state["session_id"]).first()
    if not state["qr_png"] or session is None or not session.qr_png:
        return refuse("NO_QR_CODE", "There is no QR code at the moment.", status=404)
    return HttpResponse(bytes(session.qr_png), content_type="image/png")


@csrf_exempt  # the middleware skips it; `csrf_protect` checks it, once the form's origin is known
@require_POST
@knows_own_forms
@invited
@csrf_protect
def start(request: HttpRequest, invitation: LinkInvitation) -> HttpResponse:
    account = invitation.account.resolve()
    try:
        attempts.start(account.pk, trigger="page")
    except PairingRefused as refusal:
        if refusal.code not in JOINED:
            return _refused(request, invitation, refusal)
    return _shown_by_itself(request, account.pk)


@csrf_exempt  # as `start`
@require_POST
@knows_own_forms
@invited
@csrf_protect
def ask_code(request: HttpRequest, invitation: LinkInvitation) -> HttpResponse:
    """Ask for a pairing code, for the phone that shows this page and cannot scan itself."""
    account = invitation.account.resolve()
    try:
        ask_pairing_code(account.pk, phone_number=request.POST.get("phone_number", "")[:40])
    except PairingRefused as refusal:
        return _refused(request, invitation, refusal)
    return _shown_by_itself(request, account.pk)


def complete(request: HttpRequest, token: str) -> HttpResponse:
    """Redirect an address that was copied without its last slash."""
    return keep_private(redirect("linking:page", token))


def _shown_by_itself(request: HttpRequest, account_id: int) -> HttpResponse:
    if wants_json(request):
        return JsonResponse(page_state.take(account_id))
    return HttpResponseRedirect("./", status=303)


def _switch_language(request: HttpRequest, language: str) -> HttpResponse:
    """Keep the language in a cookie only, so that a plain link works and the database does not change."""
    response = HttpResponseRedirect(request.path, status=303)
    name, secure = settings.LANGUAGE_COOKIE_NAME, settings.SESSION_COOKIE_SECURE
    response.set_cookie(name, language, max_age=LANGUAGE_KEPT, secure=secure, httponly=True, samesite="Lax")
    return response


def _refused(request: HttpRequest, invitation: LinkInvitation, refusal: PairingRefused) -> HttpResponse:
    status = STATUSES.get(refusal.code, 409)
    if wants_json(request):
        return refuse(refusal.code, str(refusal), status=status, retry_after=refusal.retry_after)
    shown = _show(request, invitation, refusal=str(refusal), status=status)
    if refusal.retry_after:
        shown.headers["Retry-After"] = str(refusal.retry_after)
    return shown


def _show(request: HttpRequest, invitation: LinkInvitation, *, refusal: str = "", status: int = 200) -> HttpResponse:
    state = page_state.take(invitation.account_id)
    face = REFUSED if refusal else state["face"]
    context: dict[str, Any] = {
        "state": state,
        "face": face,
        "title": title_of(face),
        "shows_code": face in {each.key for each in CODE_FACES},
        "qr_svg": _named(state["qr_svg"]),
        "seconds": ceil(state["expires_in"] or 0),
        "refusal": refusal,
        "workspace": invitation.account.workspace,
        "phone_example": phones.example_of(invitation.account.workspace.country),
        "support_code": state["account"][:8].upper(),
        "code_faces": CODE_FACES,
        "message_faces": MESSAGE_FACES,
        "languages": LANGUAGE_NAMES,
        "scan_within": SCAN_WITHIN,
        "refreshes": state["view"] in MOVING,
        "here": request.path.rpartition("/")[0] + "/",  # also for the page that answers a POST of its buttons
    }
    return render(request, "linking/page.html", context, status=status)


def _named(svg: str) -> SafeString:
    """Return the QR code as drawn by accounts.qr, with a name for visitors who do not see it."""
    opening = format_html('<svg role="img" aria-label="{}" ', _("QR code for WhatsApp"))
    return mark_safe(svg.replace("<svg ", opening, 1))  # noqa: S308  # our own drawing
