"""The HTTP API takes the portal's orders (contract 2 and 5.1)."""

import asyncio
import json
import logging
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bridge.clock import iso_now
from bridge.errors import RefusedError
from bridge.http.responses import listed, metadata, status
from bridge.logs import place_of
from bridge.outbox.signing import same_secret
from bridge.sessions.event_effects import DOWN
from bridge.sessions.identifiers import account_id_of, phone_of, session_id_of, workspace_id_of
from bridge.sessions.registry import Registry
from bridge.sessions.stored import Session

log = logging.getLogger("bridge.http.server")

# The longest command is a text message: WhatsApp takes 65,536 characters, at most 4 bytes each.
LARGEST_BODY = 512 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = dict[str, Any]

REGISTRY = web.AppKey("registry", Registry)
API_KEY = web.AppKey("api_key", str)
STARTED = web.AppKey("started", float)
UNDER_WAY: web.AppKey[set[asyncio.Task[Any] | None]] = web.AppKey("under_way", set)
BODY = web.RequestKey("body", dict)


def make_app(registry: Registry, *, api_key: str) -> web.Application:
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[count_under_way, answer_in_json, require_key])
    app[UNDER_WAY] = set()
    app[REGISTRY] = registry
    app[API_KEY] = api_key
    app[STARTED] = time.monotonic()
    app.add_routes(
        [
            web.get("/health", health),
            web.get("/api/sessions", list_sessions),
            web.post("/api/sessions", start_session),
            web.get("/api/sessions/{session_id}/status", session_status),
            web.get("/api/sessions/{session_id}/metadata", session_metadata),
            web.post("/api/sessions/{session_id}/reconnect", reconnect_session),
            web.post("/api/sessions/{session_id}/pairing-code", pairing_code),
            web.delete("/api/sessions/{session_id}", stop_session),
            web.post("/api/messages/send", send_message),
        ]
    )
    return app


@web.middleware
async def count_under_way(request: web.Request, handler: Handler) -> web.StreamResponse:
    task = asyncio.current_task()
    request.app[UNDER_WAY].add(task)
    try:
        return await handler(request)
    finally:
        request.app[UNDER_WAY].discard(task)


@web.middleware
async def answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refused:
        return problem(refused.status, refused.message, retry_after=refused.retry_after)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return problem(404, "Endpoint not found")
    except web.HTTPRequestEntityTooLarge:
        return problem(413, f"Body larger than {LARGEST_BODY} bytes")
    except Exception as error:
        log.error("request failed method=%s error=%s", request.method, place_of(error))
        return problem(500, "Internal error")


@web.middleware
async def require_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The key is in the query of a GET and in the JSON body of anything else, never in a header."""
    if request.match_info.handler is health or request.match_info.http_exception:
        return await handler(request)
    if request.method == "GET":
        given: object = request.query.get("api_key")
    else:
        request[BODY] = await json_object(request)
        given = request[BODY].get("api_key")
    if not same_secret(given, expected=request.app[API_KEY]):
        raise RefusedError(401, "Invalid API key")
    return await handler(request)


async def json_object(request: web.Request) -> Body:
    raw = await request.read()
    try:
        body = json.loads(raw)
        # A lone surrogate can be parsed, but fails later, when it is stored or sent.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise RefusedError(400, "Malformed JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "The body must be a JSON object")
    return body


def problem(status_code: int, message: str, *, retry_after: int | None = None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response({"error": message}, status=status_code, headers=headers)


async def health(request: web.Request) -> web.Response:
    registry = request.app[REGISTRY]
    sessions = registry.running()
    # Peak resident memory: KiB on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
    return web.json_response(
        {
            "status": "healthy",
            "uptime": round(time.monotonic() - request.app[STARTED], 3),
            "sessions": {
                "total": len(sessions),
                "connected": sum(session.status == "connected" for session in sessions),
                "disconnected": sum(session.status in DOWN for session in sessions),
            },
            "memory": {"used": peak, "total": peak, "unit": "MB"},
            "timestamp": iso_now(),
            "library": registry.engine.library,
            "version": registry.engine.version,
            "capabilities": list(registry.engine.capabilities),
            "capacity": registry.capacity,
            "boot": registry.boot,
            "draining": registry.draining,
            "outbox": await registry.outbox_counts(),
        }
    )


async def list_sessions(request: web.Request) -> web.Response:
    sessions = [listed(session) for session in request.app[REGISTRY].running()]
    return web.json_response({"success": True, "sessions": sessions, "total": len(sessions)})


async def session_status(request: web.Request) -> web.Response:
    return web.json_response(status(request.app[REGISTRY].get(request.match_info["session_id"])))


async def session_metadata(request: web.Request) -> web.Response:
    session = request.app[REGISTRY].get(request.match_info["session_id"])
    answer = {"success": True, "session_id": session.session_id, "metadata": metadata(session)}
    return web.json_response(answer)


async def start_session(request: web.Request) -> web.Response:
    body = request[BODY]
    options = body.get("simulate", {})
    if not isinstance(options, dict):
        raise RefusedError(400, "simulate must be an object")
    return await started(request, wanted_session(body, session_id=body.get("session_id"), options=options))


async def reconnect_session(request: web.Request) -> web.Response:
    """A session that is down gets a new client, a running one is left alone, and an unknown one is started."""
    session_id = request.match_info["session_id"]
    known = request.app[REGISTRY].known(session_id)
    return await started(request, known or wanted_session(request[BODY], session_id=session_id, options={}))


def wanted_session(body: Body, *, session_id: object, options: Body) -> Session:
    try:
        return Session(
            session_id=session_id_of(session_id),
            workspace_id=workspace_id_of(body.get("workspace_id")),
            account_id=account_id_of(body.get("account_id")),
            options=options,
        )
    except ValueError as error:
        raise RefusedError(400, str(error)) from None


async def started(request: web.Request, wanted: Session) -> web.Response:
    session = await request.app[REGISTRY].start(wanted)
    return web.json_response({"success": True, "session_id": session.session_id, "status": session.status})


async def stop_session(request: web.Request) -> web.Response:
    try:
        session_id = session_id_of(request.match_info["session_id"])
    except ValueError as error:
        raise RefusedError(400, str(error)) from None
    ran, warning = await request.app[REGISTRY].stop(session_id, logout=request[BODY].get("logout") is True)
    answer: Body = {"success": True, "message": "Session disconnected successfully"}
    if not ran:
        answer |= {"message": "Session already disconnected or not found in memory", "alreadyDisconnected": True}
    return web.json_response(answer | ({"warning": warning} if warning else {}))


async def pairing_code(request: web.Request) -> web.Response:
    phone_number = valid_phone(request[BODY].get("phone_number"))
    registry = request.app[REGISTRY]
    code = await registry.pairing_code(request.match_info["session_id"], phone_number=phone_number)
    return web.json_response({"success": True, "pairing_code": code.code, "expires_in": code.expires_in})


async def send_message(request: web.Request) -> web.Response:
    body = request[BODY]
    session_id, recipient, text = (body.get(name) for name in ("session_id", "recipient_phone", "message"))
    if not (isinstance(session_id, str) and session_id and recipient and isinstance(text, str) and text):
        raise RefusedError(400, "Missing required fields")
    # The reference answers 200 to any other type and sends nothing (contract 2.1).
    if body.get("type", "text") != "text":
        raise RefusedError(400, "Only type text is supported")
    registry = request.app[REGISTRY]
    registry.get(session_id)
    sent = await registry.send_text(session_id, recipient=valid_phone(recipient), text=text)
    answer = {"success": True, "message_id": sent.message_id, "timestamp": sent.timestamp}
    return web.json_response(answer)


def valid_phone(value: object) -> str:
    try:
        return phone_of(value)
    except ValueError as error:
        raise RefusedError(400, str(error)) from None
