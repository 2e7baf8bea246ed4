"""Requests through the ``openai`` package: TLS, proxies and all that an endpoint on the net wants.

One thread holds an event loop with the package's client in it: connections are kept alive and shared by all who ask,
and a request ends as soon as its Stop is told. The package takes most of a second to import, so that is done in that
thread too; :meth:`PackageSender.warm` begins with it early.
"""

from __future__ import annotations

import gc
import json
import threading
from asyncio import AbstractEventLoop, Task, all_tasks, current_task, gather, new_event_loop
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rlm_mcp.errors import Cancelled, SubLMBusy
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.sublm.sending import CONNECT_SECONDS, Answer, no_connection

if TYPE_CHECKING:
    import openai

_LONGEST_SECONDS = 3_600.0
_END_SECONDS = 2.0
_ANSWERED = "rlm_mcp_answered"


class PackageSender:
    """Posts to chat completions below a base URL."""

    def __init__(self, base_url: str, key: str) -> None:
        """Nothing is imported or opened yet. ``key``: empty for none."""
        self._base_url = base_url
        self._key = key
        self._lock = threading.Lock()
        self._client: _Client | None = None
        self._is_closed = False

    def warm(self) -> None:
        """Begin to import the package and to make its client."""
        with self._lock:
            self._started().warm()

    def send(self, content: bytes, stop: Stop) -> Answer:
        """Post; see :class:`rlm_mcp.sublm.sending.Sender` for what is raised."""
        seconds = stop.left(_LONGEST_SECONDS)
        with self._lock:
            flight = self._started().begin(json.loads(content))
        with stop.waking(flight.cancel):
            flight.over.wait(seconds)
        if not flight.over.is_set():
            flight.cancel()
            flight.over.wait(_END_SECONDS)
        found = flight.found
        if found is None:
            stop.left(_LONGEST_SECONDS)  # raises, as a rule
            raise Cancelled("the endpoint was closed meanwhile")
        return found

    def close(self) -> None:
        """End what is under way, close the connections and end the thread."""
        with self._lock:
            self._is_closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _started(self) -> _Client:
        if self._is_closed:
            raise Cancelled("the endpoint is closed")
        if self._client is None:
            self._client = _Client(self._base_url, self._key)
        return self._client


class _Flight:
    """One request under way in the client's loop."""

    def __init__(self, loop: AbstractEventLoop, sending: Coroutine[Any, Any, Answer]) -> None:
        self.over = threading.Event()
        self._loop = loop
        self._sending = sending
        self._task: Task[Answer] | None = None
        self._is_cancelled = False

    @property
    def found(self) -> Answer | None:
        """What came, once it is over; None where it was cancelled. Raises what the sending raised."""
        return None if self._task is None or self._task.cancelled() else self._task.result()

    def start(self) -> None:
        """In the loop's own thread."""
        if self._is_cancelled:
            self._sending.close()
            self.over.set()
        else:
            self._task = self._loop.create_task(self._sending)
            self._task.add_done_callback(lambda _task: self.over.set())

    def cancel(self) -> None:
        """End it, if it has not ended. From any thread."""
        self._is_cancelled = True
        with suppress(RuntimeError):  # the loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _Client:
    """The package's client, in a thread with an event loop of its own."""

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url
        self._key = key
        self._made: tuple[Any, openai.AsyncOpenAI] | None = None
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rlm-mcp openai", daemon=True)
        self._thread.start()

    def warm(self) -> None:
        """Make the package's client, as soon as the loop comes to it."""
        self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._make()))

    def begin(self, body: object) -> _Flight:
        """Send, as soon as the client is there."""
        flight = _Flight(self._loop, self._send(body))
        self._loop.call_soon_threadsafe(flight.start)
        return flight

    def close(self) -> None:
        """End all that is under way, and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        under_way = all_tasks() - {current_task()}
        for task in under_way:
            task.cancel()
        await gather(*under_way, return_exceptions=True)
        if self._made is not None:
            await self._made[1].close()
        await self._loop.shutdown_default_executor()

    async def _make(self) -> tuple[Any, openai.AsyncOpenAI]:
        """The package and its client; the first call makes them."""
        if self._made is None:
            import openai  # noqa: PLC0415  # most of a second, and only needed where an endpoint is asked

            client = openai.AsyncOpenAI(
                base_url=self._base_url,
                api_key=self._key or "none",
                max_retries=0,
                timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
                http_client=openai.DefaultAsyncHttpxClient(
                    event_hooks={"response": [_note_answer]}, follow_redirects=False
                ),
            )
            self._made = openai, client
            gc.freeze()  # what it brings stays to the end; to look through it all again would take tenths of a second
        return self._made

    async def _send(self, body: object) -> Answer:
        package, client = await self._make()
        try:
            # the response as it came: to parse it into the package's records costs more than to send the request
            answer = await client.post("/chat/completions", cast_to=package.AsyncAPIResponse[object], body=body)
        except package.APIStatusError as error:
            response = error.response
        except package.APIConnectionError as error:
            raise _lost(error) from error
        else:
            response = answer.http_response
        return Answer(status=response.status_code, headers=dict(response.headers), content=response.content)


async def _note_answer(response: Any) -> None:
    """The beginning of an answer came."""
    response.request.extensions[_ANSWERED] = True


def _lost(error: openai.APIConnectionError) -> SubLMBusy:
    """No connection, or one that ended on the way."""
    cause = error.__cause__ or error
    why = str(cause) or type(cause).__name__
    if type(cause).__name__.startswith(("Connect", "Proxy")):
        return SubLMBusy(no_connection(why, error.request.url.scheme, error.request.url.host))
    return SubLMBusy(f"connection lost ({why})", may_be_charged=_ANSWERED in error.request.extensions)
