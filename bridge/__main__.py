"""python -m bridge: run the bridge, or look after its outbox."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence

from bridge import outbox
from bridge.database import FILE_NAME, Database
from bridge.errors import ConfigurationError
from bridge.logs import start_logging
from bridge.process import run
from bridge.settings import data_dir, read_settings

ENVIRONMENT = """
environment (a flag wins over its variable):
  LINKDESK_URL       required  the portal's base address, e.g. http://127.0.0.1:8000   --linkdesk-url
  HMAC_SECRET        required  signs the webhooks (no flag: `ps` would show it)
  API_KEY            required  shown by the portal to the bridge and back (no flag either)
  BRIDGE_HOST        127.0.0.1   address to listen on                                  --host
  BRIDGE_PORT        3001        port to listen on                                     --port
  BRIDGE_DATA_DIR    var/bridge  sessions, logins and unsent webhooks                  --data-dir
  BRIDGE_ENGINE      simulated   what speaks to WhatsApp                               --engine
  BRIDGE_CAPACITY    100         sessions at most                                      --capacity
  WEBHOOK_TIMEOUT    30          seconds the portal has to take a webhook              --webhook-timeout
  LINKDESK_SIM_*                 the simulated phone: see docs/bridge.md

commands:
  serve              run until SIGTERM (also when no command is given)
  outbox list        the webhooks that the portal refused or that were given up after 24 h
  outbox retry [ID]  send them again, all or the named ones; works while the bridge runs
"""

SERVE_FLAGS = {
    "--linkdesk-url": "LINKDESK_URL",
    "--host": "BRIDGE_HOST",
    "--port": "BRIDGE_PORT",
    "--engine": "BRIDGE_ENGINE",
    "--capacity": "BRIDGE_CAPACITY",
    "--webhook-timeout": "WEBHOOK_TIMEOUT",
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(make_parser().parse_args(arguments))
    command = given.pop("command", None) or "serve"
    action = given.pop("action", None)
    ids = given.pop("ids", None)
    try:
        if command == "outbox":
            return list_dead(given) if action == "list" else retry_dead(given, ids=ids or None)
        return serve(given)
    except ConfigurationError as error:
        sys.stderr.write(f"bridge: {error}\n")
        return 2


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bridge",
        description="A WhatsApp bridge for Linkdesk.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, ["--data-dir", *SERVE_FLAGS])
    commands = parser.add_subparsers(dest="command", metavar="{serve,outbox}")
    add_flags(commands.add_parser("serve"), ["--data-dir", *SERVE_FLAGS])
    actions = commands.add_parser("outbox").add_subparsers(dest="action", required=True)
    add_flags(actions.add_parser("list"), ["--data-dir"])
    retry = actions.add_parser("retry")
    add_flags(retry, ["--data-dir"])
    retry.add_argument("ids", nargs="*", type=int, metavar="ID")
    return parser


def add_flags(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    for name in names:
        variable = SERVE_FLAGS.get(name, "BRIDGE_DATA_DIR")
        # SUPPRESS: a subparser's default would overwrite what was given before the command.
        parser.add_argument(name, dest=variable, metavar=variable, default=argparse.SUPPRESS)


def serve(flags: dict[str, str]) -> int:
    settings = read_settings(os.environ, flags=flags)
    start_logging()
    asyncio.run(run(settings))
    return 0


def list_dead(flags: dict[str, str]) -> int:
    database = existing_database(flags)
    letters = database.transact(outbox.dead_letters)
    waiting = database.transact(outbox.counts)["waiting"]
    for letter in letters:
        age = int(time.time() - letter.created_at)
        tries = f"{letter.attempts} tries"
        line = [
            str(letter.sequence),
            letter.event,
            letter.session_id,
            tries,
            f"{age} s old",
            letter.last_error,
        ]
        sys.stdout.write("\t".join(line) + "\n")
    sys.stdout.write(f"{len(letters)} dead, {waiting} waiting\n")
    database.close()
    return 0


def retry_dead(flags: dict[str, str], *, ids: list[int] | None) -> int:
    """1 when an id was named that is not a dead letter."""
    database = existing_database(flags)
    count = database.transact(lambda connection: outbox.revive(connection, ids))
    database.close()
    sys.stdout.write(f"{count} will be sent again\n")
    return 1 if ids and count < len(set(ids)) else 0


def existing_database(flags: dict[str, str]) -> Database:
    directory = data_dir(os.environ, flags=flags)
    if not (directory / FILE_NAME).exists():
        raise ConfigurationError(f"no outbox in {directory}")
    return Database(directory)


if __name__ == "__main__":
    sys.exit(main())
