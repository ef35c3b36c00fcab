"""ASGI entry of a process for webhooks alone, under uvicorn (docs/operations.md, "A process for webhooks")."""

from config.asgi import http as application

__all__ = ["application"]
