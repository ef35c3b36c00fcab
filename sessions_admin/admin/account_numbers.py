"""What staff decide about the number of an account, as buttons of its page."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.pairing import number_decisions
from sessions_admin.admin.base import ActionVariant, DialogForm, ModelAdmin, actor_of, dialog_action, done
from sessions_admin.visibility import page_of_row


class NumberDecisions(ModelAdmin):
    @dialog_action(
        gettext_lazy("Accept the number"),
        permission="reset_account",
        icon="check",
        variant=ActionVariant.PRIMARY,
        consequence=gettext_lazy(
            "Makes the number that the bridge reports the account's own. It is connected then, and nobody scans again."
        ),
    )
    def accept_number(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account = self.find(request, object_id)
        with self.told(request, number_decisions.DecisionRefused, _("The number was accepted.")):
            number_decisions.accept_number(account.pk, actor=actor_of(request))
        return done(request, page_of_row(account))

    @dialog_action(
        gettext_lazy("Take the new number"),
        permission="reset_account",
        icon="sync_alt",
        consequence=gettext_lazy(
            "Replaces the account's number by the one that its phone reports. Nothing is unlinked."
        ),
    )
    def take_new_number(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account = self.find(request, object_id)
        with self.told(request, number_decisions.DecisionRefused, _("The account has the new number now.")):
            number_decisions.take_new_number(account.pk, actor=actor_of(request))
        return done(request, page_of_row(account))

    @dialog_action(
        gettext_lazy("Merge with the other account"),
        permission="reset_account",
        icon="merge",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy(
            "Moves the sessions, messages and invitations of this account to the other one of this phone, and deletes "
            "this one. Of two links the connected or later one stays; the other is unlinked. This cannot be undone."
        ),
    )
    def merge_twin(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account = self.find(request, object_id)
        with self.told(request, number_decisions.DecisionRefused, _("The two accounts are one now.")):
            account = number_decisions.merge_twin(account.pk, actor=actor_of(request))
        return done(request, page_of_row(account))
