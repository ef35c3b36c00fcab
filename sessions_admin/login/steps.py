"""Logging in: the password, then the second step where there is one, or its set-up where it is required and missing."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.views import LoginView, RedirectURLMixin
from django.core.validators import MaxLengthValidator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.generic import FormView

from accounts import qr
from accounts.access import audit, second_factor
from accounts.models import User
from api.http.errors import ApiError
from sessions_admin.login import halfway, known, limits, recovery_codes
from sessions_admin.login.forms import CodeForm, RecoveryForm, SetUpInSessionForm

NEXT = "next"
NOBODY_YET = "nobody yet"  # who the audit says failed to log in as somebody: that is not known to be the person


class LogIn(LoginView):
    template_name = "sessions_admin/login/log_in.html"
    authentication_form = admin.site.login_form

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if admin.site.has_permission(request):
            return redirect(self.get_success_url())
        if halfway.person_in(request):
            return _to("login:second_step", self.get_redirect_url())
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.target = limits.target_of(request.POST.get("username", ""))
        try:
            limits.spend_try(request, limits.PASSWORDS, self.target)
        except ApiError as error:
            return limits.refused(request, error)
        return super().post(request, *args, **kwargs)

    def get_form(self, form_class: Any = None) -> Any:
        """Django writes the length of a name into the page, and looks for longer ones all the same."""
        form = super().get_form(form_class)
        form.fields["username"].validators.append(MaxLengthValidator(limits.LONGEST))
        return form

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.get_user()
        if second_factor.app_of(user) is None and not second_factor.is_required(user):
            request, url = self.request, self.get_success_url()
            request.session.flush()
            halfway.let_in(request, user, how="none")
            return _remembered(request, redirect(url), user)
        url = self.get_redirect_url()
        halfway.begin(self.request, user)
        return _to("login:second_step", url)

    def form_invalid(self, form: Any) -> HttpResponse:
        """What was typed is noted nowhere. Nor is a name that nobody has: it may be somebody's password."""
        if self.target.user:
            audit.record("login.refused", who=NOBODY_YET, of=self.target.user, refused="wrong_password")
        return super().form_invalid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**_site(self.request), title=_("Log in"), **kwargs)


@method_decorator(never_cache, name="dispatch")
class _Step(RedirectURLMixin, FormView):  # type: ignore[type-arg]  # generic in the stubs only
    """A page for those who are halfway. Others begin with the password."""

    next_page = "admin:index"
    form_class: type[forms.Form] = CodeForm
    title: Any = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        person = halfway.person_in(request)
        if person is None:
            return _to("login:log_in", self.get_redirect_url())
        self.person = person
        has_app = second_factor.app_of(person.user) is not None
        if has_app != self.is_for_those_with_an_app():
            return _to("login:second_step" if has_app else "login:set_up", self.get_redirect_url())
        return super().dispatch(request, *args, **kwargs)

    def is_for_those_with_an_app(self) -> bool:
        raise NotImplementedError

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            limits.spend_try(request, limits.CODES, limits.of_user(self.person.user))
        except ApiError as error:
            return limits.refused(request, error)
        return super().post(request, *args, **kwargs)

    def form_invalid(self, form: Any) -> HttpResponse:
        audit.record("login.wrong_code", who=NOBODY_YET, of=self.person.user, refused="wrong_code")
        return super().form_invalid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        site = _site(self.request)
        return super().get_context_data(**site, title=self.title, **kwargs)


class SecondStep(_Step):
    template_name = "sessions_admin/login/second_step.html"
    title = gettext_lazy("Second step")

    def is_for_those_with_an_app(self) -> bool:
        return True

    def is_recovery(self) -> bool:
        return "recovery" in self.request.POST

    def get_form_class(self) -> type[forms.Form]:
        return RecoveryForm if self.is_recovery() else CodeForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        form = context["form"]
        app, recovery = (CodeForm(), form) if self.is_recovery() else (form, RecoveryForm())
        if self.is_recovery():
            app.fields["code"].widget.attrs.pop("autofocus")  # the first one on a page has the focus
        return context | {"app_form": app, "recovery_form": recovery, "is_recovery": self.is_recovery()}

    def why_not(self) -> str:
        if self.is_recovery():
            return _("This recovery code is not right, or was used before.")
        return _("This code is not right, or was used before. Wait for the next one in the app.")

    def form_valid(self, form: Any) -> HttpResponse:
        user = self.person.user
        used = second_factor.use_code(user, form.cleaned_data["code"])
        if used is None:
            form.add_error("code", self.why_not())
            return self.form_invalid(form)
        url = self.get_success_url()
        halfway.finish(self.request, self.person, used.app, how=used.how)
        return _remembered(self.request, redirect(url), user)


class SetUp(_Step):
    """For those who must have a second factor and have none."""

    template_name = "sessions_admin/login/set_up.html"
    title = gettext_lazy("Set up your second factor")

    def is_for_those_with_an_app(self) -> bool:
        return False

    def get_form_class(self) -> type[forms.Form]:
        return SetUpInSessionForm if self.person.was_logged_in else CodeForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | shown_key(self.person.user, halfway.new_key(self.request))

    def form_valid(self, form: Any) -> HttpResponse:
        user, key = self.person.user, halfway.new_key(self.request)
        if self.person.was_logged_in and not user.check_password(form.cleaned_data["password"]):
            form.add_error("password", _("This is not your password."))
            return self.form_invalid(form)
        try:
            app, codes = second_factor.set_up(user, key, form.cleaned_data["code"], replaces=False)
        except second_factor.FactorRefused as refusal:
            form.add_error("code", str(refusal))
            return self.form_invalid(form)
        url = self.get_success_url()
        halfway.finish(self.request, self.person, app, how="app")
        page = recovery_codes.lead_to(self.request, "login:recovery_codes", codes, url=url, replace=False)
        return _remembered(self.request, page, user)


def shown_key(user: User, key: str) -> dict[str, str]:
    """What the set-up page shows of the secret: a QR code, and text to type."""
    return {
        "qr": qr.from_text(second_factor.address_for_app(user, key)).svg,
        "key": second_factor.key_to_type(user, key),
    }


def log_out(request: HttpRequest) -> HttpResponse:
    if request.method == "POST" and isinstance(request.user, User):
        audit.record("logout", actor=request.user, of=request.user)
    return admin.site.logout(request)


def _site(request: HttpRequest) -> dict[str, Any]:
    return admin.site.each_context(request) | {"app_path": request.get_full_path()}


def _to(name: str, next_url: str) -> HttpResponse:
    return HttpResponseRedirect(reverse(name) + (f"?{urlencode({NEXT: next_url})}" if next_url else ""))


def _remembered(request: HttpRequest, response: HttpResponse, user: User) -> HttpResponse:
    known.remember(request, response, user)
    return response
