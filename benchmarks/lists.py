"""Each list of the admin and the larger answers of the API: python -m benchmarks.lists [--only account]

It reads the database that the environment names, filled by benchmarks.load_data, as one person who sees everything
(made and removed by it), and prints the median of whole requests and how many queries each makes.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.measuring import count_queries, median

ROUNDS = 9
AT_MOST = 300  # milliseconds
PERSON = "benchmark"


def pages() -> Iterator[tuple[str, str]]:
    """Yield names and addresses."""
    from django.contrib import admin
    from django.urls import reverse

    from accounts.models import Account, LinkSession

    yield "overview", reverse("admin:index")
    for model in admin.site._registry:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        yield f"list of {model._meta.verbose_name_plural}", address
    account, session = Account.objects.latest("pk"), LinkSession.objects.latest("pk")
    yield "an account", reverse("admin:accounts_account_change", args=[account.pk])
    accounts = reverse("admin:accounts_account_changelist")
    for kind, typed in {
        "a number": account.phone_number,
        "the end of a number": str(account.phone_number)[-5:],
        "a session": session.session_id,
        "a uuid": account.uuid,
        "a label": "Kasir 777",
        "nothing that is there": "zzzz",
    }.items():
        yield f"search for {kind}", f"{accounts}?q={typed}"
    yield "status", f"/api/whatsapp/status?workspace_id={account.workspace_id}"
    yield "health", f"/api/whatsapp/health?workspace_id={account.workspace_id}"


def measure(only: str) -> dict[str, dict[str, float]]:
    from django.test import Client

    client, found = Client(raise_request_exception=False), {}
    client.force_login(_person())
    for name, address in pages():
        if only not in name:
            continue

        def ask(address: str = address) -> Any:
            answer = client.get(address, follow=True)
            assert answer.status_code == 200, (address, answer.status_code)
            return answer

        ask()
        found[name] = {"ms": median(ask, rounds=ROUNDS), "queries": count_queries(ask)}
        slow = "" if found[name]["ms"] <= AT_MOST else "  TOO SLOW"
        print(f"{name:<40} {found[name]['ms']:>8.0f} ms {found[name]['queries']:>4.0f} queries{slow}", flush=True)
    return found


def _person() -> Any:
    from accounts.models import User

    User.objects.filter(username=PERSON).delete()
    return User.objects.create_superuser(PERSON)


def main(arguments: Sequence[str]) -> int:
    import django

    django.setup()
    from django.test.utils import override_settings

    from accounts.models import Account, User

    if not Account.objects.exists():
        print("The lists are not measured: python -m benchmarks.load_data fills a database first.")
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="the pages with this in their name")
    only = parser.parse_args(arguments).only
    try:
        with override_settings(ALLOWED_HOSTS=["*"]):
            found = measure(only)
    finally:
        User.objects.filter(username=PERSON).delete()
    from benchmarks.report import save

    save("lists", found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
