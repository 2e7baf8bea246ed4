"""A client that lends its model, as ``hooks/lend.js`` in Claude Code does: the other side of the door's protocol.

It finds the socket by the word that the door left, takes requests, asks an endpoint for each in a thread of its own (in
Anthropic's format, as ``$.model.complete`` does), gives back what came, and ends what it is told to end.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rlm_mcp.config import Paths
from rlm_mcp.store import live

_GONE = {"isAnswered": False, "reason": "api-error", "status": None, "error": "unknown"}


def post(word: Path, path: str, content: bytes = b"{}") -> tuple[int, Any]:
    """Status and answer of the door whose word that is."""
    connection = http.client.HTTPConnection("rlm-mcp")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(live.found(word)["socket"])
        connection.request("POST", path, content)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class LendingClient:
    """The client's end."""

    def __init__(self, word: Path, url: str) -> None:
        """``url``: of the endpoint that has the model."""
        self._word = word
        self._url = urlsplit(url)
        self._lock = threading.Lock()
        self._under_way: dict[int, http.client.HTTPConnection] = {}
        self._leaves = threading.Event()
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        """Take, until it leaves."""
        while not self._leaves.is_set():
            told = post(self._word, "/take")[1]
            for number in told["ended"]:
                self._abort(number)
            for asked in told["requests"]:
                with self._lock:
                    self._under_way[asked["id"]] = http.client.HTTPConnection(self._url.netloc, timeout=60)
                thread = threading.Thread(target=self._answer, args=(asked,))
                self._threads.append(thread)
                thread.start()

    def leave(self) -> None:
        """End all that is under way."""
        self._leaves.set()
        for number in list(self._under_way):
            self._abort(number)
        for thread in self._threads:
            thread.join()

    def _answer(self, asked: Mapping[str, Any]) -> None:
        connection = self._under_way[asked["id"]]
        try:
            found = _completed(connection, asked)
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            found = _GONE
        with self._lock:
            is_aborted = self._under_way.pop(asked["id"], None) is None
        connection.close()
        told = {"isAnswered": False, "reason": "aborted"} if is_aborted else found
        with suppress(OSError):  # the door is shut
            post(self._word, "/give", json.dumps({**told, "id": asked["id"]}).encode())

    def _abort(self, number: int) -> None:
        with self._lock:
            connection = self._under_way.pop(number, None)
            if connection is not None and connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)


def _completed(connection: http.client.HTTPConnection, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What ``$.model.complete`` gives; raises where the endpoint breaks off."""
    body = {"model": asked["model"], "max_tokens": asked["maxTokens"], "stream": True}
    body["messages"] = [{"role": "user", "content": asked["prompt"]}]
    if asked["system"]:
        body["system"] = asked["system"]
    connection.request("POST", "/v1/messages", json.dumps(body), {"content-type": "application/json"})
    reply = connection.getresponse()
    content = reply.read()
    if reply.status != 200:
        return {**_GONE, "status": reply.status, "error": json.loads(content)["error"]["message"]}
    lines = (line for line in content.decode().splitlines() if line.startswith("data: "))
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    if not events or events[-1]["type"] != "message_stop":
        return _GONE
    text = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    usage = events[-2]["usage"]
    if not text:
        return {"isAnswered": False, "reason": "empty-reply", "usage": usage}
    return {"isAnswered": True, "text": text, "usage": usage}


@contextmanager
def lending_client(paths: Paths, parent_id: int, url: str) -> Iterator[None]:
    """One that works in a thread."""
    client = LendingClient(live.path_of(paths, "lend", str(parent_id)), url)
    thread = threading.Thread(target=client.serve)
    thread.start()
    try:
        yield
    finally:
        client.leave()
        thread.join()
