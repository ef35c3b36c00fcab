"""What staff do about their own password and second factor. Each change needs the password or a code once more."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.generic import FormView
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.access import audit, second_factor
from accounts.models import User
from api.http.errors import ApiError
from sessions_admin.admin.base import actor_of
from sessions_admin.login import halfway, limits, recovery_codes
from sessions_admin.login.forms import OwnSetUpForm, ProofForm
from sessions_admin.login.steps import shown_key


def change_password(request: HttpRequest) -> HttpResponse:
    """Django's page. It asks for the old password, so each try spends the budget of a login."""
    user = actor_of(request)
    try:
        if request.method == "POST":
            limits.spend_try(request, limits.PASSWORDS, limits.of_user(user))
    except ApiError as error:
        return limits.refused(request, error)
    before = user.password
    with transaction.atomic():
        response = admin.site.password_change(request)
        if user.password != before:
            audit.record("password.changed", actor=user, of=user)
    return response


@method_decorator(never_cache, name="dispatch")
class _Own(FormView):  # type: ignore[type-arg]  # generic in the stubs only
    title: Any = gettext_lazy("Your second factor")
    success_url: Any = reverse_lazy("login:own")
    refused_field: str | None = None  # which one a refusal is about

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            limits.spend_try(request, limits.CODES, limits.of_user(actor_of(request)))
        except ApiError as error:
            return limits.refused(request, error)
        return super().post(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        site = admin.site.each_context(self.request)
        return super().get_context_data(**site, title=self.title, app=self.app(), **kwargs)

    def app(self) -> Any:
        return second_factor.app_of(actor_of(self.request))

    def form_valid(self, form: Any) -> HttpResponse:
        user = actor_of(self.request)
        if not _is_proven(user, form.cleaned_data["proof"]):
            audit.record("second_factor.not_proven", actor=user, of=user, refused="not_proven")
            form.add_error("proof", self.why_not_proven())
            return self.form_invalid(form)
        try:
            return self.do(user, form)
        except second_factor.FactorRefused as refusal:
            form.add_error(self.refused_field, str(refusal))
            return self.form_invalid(form)

    def why_not_proven(self) -> str:
        if self.app() is None:
            return _("This is not your password.")
        return _("This is neither your password nor a code that is good now.")

    def get_form(self, form_class: Any = None) -> Any:
        """Who has no app yet has no code of it to give."""
        form = super().get_form(form_class)
        if self.app() is None:
            form.fields["proof"].label = _("Your password")
        return form

    def do(self, user: User, form: Any) -> HttpResponse:
        raise NotImplementedError

    def show_codes(self, codes: list[str], *, replace: bool) -> HttpResponse:
        url = str(self.success_url)
        return recovery_codes.lead_to(self.request, "login:own_recovery_codes", codes, url=url, replace=replace)


class SecondFactor(_Own):
    """What there is; new recovery codes; removing it where no role requires it."""

    template_name = "sessions_admin/login/own.html"
    form_class: type[forms.Form] = ProofForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = actor_of(self.request)
        facts = {"left": second_factor.recovery_codes_left(user), "is_required": second_factor.is_required(user)}
        return super().get_context_data(**facts, **kwargs)

    def do(self, user: User, form: Any) -> HttpResponse:
        if self.app() is None:
            return HttpResponseRedirect(str(self.success_url))
        if "remove" not in self.request.POST:
            return self.show_codes(second_factor.renew_recovery_codes(user), replace=True)
        second_factor.remove(user)
        self.request.session.pop(DEVICE_ID_SESSION_KEY, None)
        messages.success(self.request, _("Your second factor was removed."))
        return redirect(self.success_url)


class SetUp(_Own):
    """The first one, or another phone in place of it. Other sessions of this person end then."""

    template_name = "sessions_admin/login/own_set_up.html"
    form_class = OwnSetUpForm
    refused_field = "code"
    title = gettext_lazy("Set up your second factor")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = shown_key(actor_of(self.request), halfway.new_key(self.request))
        return super().get_context_data(**kwargs) | shown

    def do(self, user: User, form: Any) -> HttpResponse:
        key, had_one = halfway.new_key(self.request), self.app() is not None
        app, codes = second_factor.set_up(user, key, form.cleaned_data["code"], replaces=True)
        halfway.mark(self.request, app)
        self.request.session.cycle_key()
        return self.show_codes(codes, replace=had_one)


def _is_proven(user: User, text: str) -> bool:
    return user.check_password(text) or second_factor.use_code(user, text) is not None
