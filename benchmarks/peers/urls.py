"""A signed webhook that is stored by one ORM insert: as a plain Django view, and with DRF."""

import hashlib
import hmac
import json
import os
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.peers.models import PeerMessage

SECRET = os.environ["BENCH_SECRET"].encode()


def is_signed(request: HttpRequest) -> bool:
    wanted = hmac.new(SECRET, request.headers["X-Timestamp"].encode() + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, request.headers["X-HMAC-Signature"])


def store(data: dict[str, Any]) -> None:
    said = data["message"]
    names = {"session_id": data["session_id"], "message_id": said["id"]}
    PeerMessage.objects.create(**names, sender=said["from"], body=said["body"])


def plain(request: HttpRequest) -> JsonResponse:
    if not is_signed(request):
        return JsonResponse({"success": False}, status=401)
    store(json.loads(request.body)["data"])
    return JsonResponse({"success": True})


class MessageData(serializers.Serializer[Any]):
    session_id = serializers.CharField(max_length=191)
    message = serializers.DictField()


class WithDrf(APIView):
    def post(self, request: Request) -> Response:
        if not is_signed(request._request):
            return Response({"success": False}, status=401)
        shape = MessageData(data=json.loads(request._request.body)["data"])
        shape.is_valid(raise_exception=True)
        store(shape.validated_data)
        return Response({"success": True})


urlpatterns = [path("plain", plain), path("drf", WithDrf.as_view())]
