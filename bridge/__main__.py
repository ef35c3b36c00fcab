"""python -m bridge: run the bridge, look after its outbox, move its sessions."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bridge.database import FILE_NAME, Database
from bridge.errors import ConfigurationError
from bridge.logs import start_logging
from bridge.outbox import store
from bridge.process import run
from bridge.sessions import login_files
from bridge.settings import data_dir, engine_name, read_settings

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
  HEARTBEAT_EVERY    30          seconds between two reports to the portal; 0: none    --heartbeat-every
  DRAIN_WITHIN       8           seconds to end what is under way after a SIGTERM      --drain-within
  LINKDESK_SIM_*                 the simulated phone: see docs/bridge.md

commands:
  serve              run until SIGTERM (also when no command is given)
  outbox list        the webhooks that the portal refused or that were given up after 24 h
  outbox retry [ID]  send them again, all or the named ones; works while the bridge runs
  outbox drop ID     forget one that can never pass; works while the bridge runs
  sessions list      the logins here
  sessions export ID FILE.tar   the login of a session that is stopped, to keep or to move
  sessions import FILE.tar      into this data directory, under the id that it had
"""

SERVE_FLAGS = {
    "--linkdesk-url": "LINKDESK_URL",
    "--host": "BRIDGE_HOST",
    "--port": "BRIDGE_PORT",
    "--engine": "BRIDGE_ENGINE",
    "--capacity": "BRIDGE_CAPACITY",
    "--webhook-timeout": "WEBHOOK_TIMEOUT",
    "--heartbeat-every": "HEARTBEAT_EVERY",
    "--drain-within": "DRAIN_WITHIN",
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(make_parser().parse_args(arguments))
    command = given.pop("command", None) or "serve"
    action = given.pop("action", None)
    ids = given.pop("ids", None)
    session_id, file = given.pop("session_id", ""), Path(given.pop("file", ""))
    try:
        if command == "outbox":
            return OUTBOX[action](given, ids or [])
        if command == "sessions":
            return SESSIONS[action](given, session_id, file)
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
    commands = parser.add_subparsers(dest="command", metavar="{serve,outbox,sessions}")
    add_flags(commands.add_parser("serve"), ["--data-dir", *SERVE_FLAGS])
    add_outbox(commands.add_parser("outbox").add_subparsers(dest="action", required=True))
    add_sessions(commands.add_parser("sessions").add_subparsers(dest="action", required=True))
    return parser


def add_outbox(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, count in {"list": None, "retry": "*", "drop": "+"}.items():
        parser = actions.add_parser(name)
        add_flags(parser, ["--data-dir"])
        if count:
            parser.add_argument("ids", nargs=count, type=int, metavar="ID")


def add_sessions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, arguments in {"list": [], "export": ["session_id", "file"], "import": ["file"]}.items():
        parser = actions.add_parser(name)
        add_flags(parser, ["--data-dir", "--engine"])
        for argument in arguments:
            parser.add_argument(argument, metavar="FILE.tar" if argument == "file" else "ID")


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


def list_dead(flags: dict[str, str], ids: list[int]) -> int:
    database = existing_database(flags)
    letters = database.transact(store.dead_letters)
    waiting = database.transact(store.counts)["waiting"]
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


def retry_dead(flags: dict[str, str], ids: list[int]) -> int:
    """Returns 1 when one of `ids` is not a dead letter."""
    database = existing_database(flags)
    count = database.transact(lambda connection: store.revive(connection, ids or None))
    database.close()
    sys.stdout.write(f"{count} will be sent again\n")
    return 1 if ids and count < len(set(ids)) else 0


def drop_dead(flags: dict[str, str], ids: list[int]) -> int:
    """Returns 1 as `retry_dead` does."""
    database = existing_database(flags)
    dropped = database.transact(lambda connection: [store.drop_dead(connection, sequence) for sequence in ids])
    database.close()
    for letter in filter(None, dropped):
        sys.stdout.write(f"dropped {letter.sequence}\t{letter.event}\t{letter.session_id}\n")
    return 0 if all(dropped) else 1


OUTBOX = {"list": list_dead, "retry": retry_dead, "drop": drop_dead}


def list_logins(flags: dict[str, str], session_id: str, file: Path) -> int:
    lines = login_files.list_sessions(*data_dir_and_engine(flags))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def export_login(flags: dict[str, str], session_id: str, file: Path) -> int:
    starts = login_files.export_session(*data_dir_and_engine(flags), session_id, file=file)
    sys.stdout.write(f"{session_id} is in {file}\n")
    if starts:
        sys.stdout.write(
            "This bridge will start it again: if it moves, take its folder out of the data directory before this "
            'bridge is started (docs/operations.md, "Move one account with its login")\n'
        )
    return 0


def import_login(flags: dict[str, str], session_id: str, file: Path) -> int:
    imported = login_files.import_session(*data_dir_and_engine(flags), file=file)
    sys.stdout.write(f"{imported} is here. It logs in when the portal names it, or with the next start\n")
    return 0


SESSIONS = {"list": list_logins, "export": export_login, "import": import_login}


def data_dir_and_engine(flags: dict[str, str]) -> tuple[Path, str]:
    os.umask(0o077)  # logins
    return data_dir(os.environ, flags=flags), engine_name(os.environ, flags=flags)


def existing_database(flags: dict[str, str]) -> Database:
    directory = data_dir(os.environ, flags=flags)
    if not (directory / FILE_NAME).exists():
        raise ConfigurationError(f"no outbox in {directory}")
    return Database(directory)


if __name__ == "__main__":
    sys.exit(main())
