"""The roles that an installation starts with. They are groups, made once by a migration: administrators change them.

Each role may what the one before it may, and more.
"""

from collections.abc import Iterator

VIEWER, SUPPORT, LEAD, ADMINISTRATOR = "Viewer", "Support", "Lead", "Administrator"

# The queue's own tables run any function of the program, so they are for superusers. So are groups.
GRANTED: dict[str, list[str]] = {
    VIEWER: [
        "accounts.view_account",
        "accounts.view_accountnotice",
        "accounts.view_bridge",
        "accounts.view_bridgeorder",
        "accounts.view_incident",
        "accounts.view_linkinvitation",
        "accounts.view_linkloss",
        "accounts.view_linkmove",
        "accounts.view_linksession",
        "accounts.view_message",
        "accounts.view_transition",
        "accounts.view_workspace",
        "webhooks.view_webhookevent",
    ],
    SUPPORT: [
        "accounts.add_account",
        "accounts.change_account",
        "accounts.renew_qr",
        "accounts.reset_account",
        "accounts.see_codes",
        "accounts.add_linkinvitation",
        "accounts.change_linkinvitation",
        "accounts.view_bridgeprocess",
        "accounts.view_reconcilerun",
        "accounts.view_straysession",
        "webhooks.view_storedreport",
        "webhooks.view_unmatchedtraffic",
    ],
    LEAD: [
        "accounts.read_bodies",
        "accounts.change_straysession",
        "accounts.change_workspace",
        "accounts.view_auditentry",
        "accounts.view_user",
        "api.add_workspacetoken",
        "api.change_workspacetoken",
        "api.view_ratelimitcount",
        "api.view_workspacetoken",
        "webhooks.change_webhookevent",
        "webhooks.view_unsignedtraffic",
    ],
    ADMINISTRATOR: [
        "accounts.add_bridge",
        "accounts.change_bridge",
        "accounts.delete_bridge",
        "accounts.add_bridgesecret",
        "accounts.change_bridgesecret",
        "accounts.delete_bridgesecret",
        "accounts.view_bridgesecret",
        "accounts.add_user",
        "accounts.change_user",
        "accounts.delete_user",
        "accounts.add_workspace",
        "accounts.delete_workspace",
        "accounts.view_lease",
        "accounts.view_pulse",
    ],
}


def permissions_of(role: str) -> Iterator[str]:
    """Its permissions, with those of the roles before it: "accounts.view_account"."""
    for name, granted in GRANTED.items():
        yield from granted
        if name == role:
            return
