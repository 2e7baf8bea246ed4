"""The Ledger: every request to another model, noted before it is sent and after it ended, over all processes.

Caps of a Session and of a day are looked at in the transaction that notes a request, so two processes cannot both take
the last of them. Where only what is reserved for requests under way, of any process, stands in the way, the refusal
says so. A request whose process was killed stays ``sent``: what was reserved for it goes on counting against the caps,
because it may have been charged.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from rlm_mcp.costs import Call, CallEnd, CallStatus, Cost, Kept, Spent
from rlm_mcp.errors import BudgetExceeded
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import is_there

_SPENT = (
    "SELECT coalesce(sum(status != 'cached'), 0) AS calls, coalesce(sum(tokens_in), 0) AS tokens_in, "
    "coalesce(sum(tokens_out), 0) AS tokens_out, coalesce(sum(usd), 0.0) AS usd, "
    "coalesce(sum(status = 'cached'), 0) AS cached, "
    "coalesce(sum(status IN ('failed', 'abandoned')), 0) AS failed, coalesce(sum(status = 'abandoned'), 0) AS "
    "abandoned, coalesce(sum(usd IS NULL AND tokens_in + tokens_out > 0), 0) AS unpriced, "
    "coalesce(sum(status = 'sent'), 0) AS under_way FROM call WHERE "
)
_BELOW = (
    "run IN (WITH RECURSIVE below(id) AS (SELECT ? UNION SELECT run.id FROM below JOIN run ON run.parent = below.id) "
    "SELECT id FROM below)"
)
"""A Run and all below it."""

_LONGEST_SECONDS = 600.0
"""A request that was sent before that is not waited for: no request takes so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What a Session, and all of them on a day (UTC), may spend."""

    session_tokens: int
    session_usd: float
    day_tokens: int
    day_usd: float


class StoreLedger:
    """Notes into the store. Safe to use from any thread; one connection at a time does the work."""

    def __init__(self, lend: Callable[[], AbstractContextManager[Store]], caps: Caps) -> None:
        self._lend = lend
        self._caps = caps
        self._lock = threading.Lock()

    def sent(self, call: Call) -> int:
        """Note that a call is about to be sent; its number.

        Raises:
            BudgetExceeded: a cap of the Session or the day forbids it; ``may_pass`` where only what is reserved for
                requests under way stands in the way.
            StoreError: it cannot be noted, so it must not be sent.
        """
        with self._lock, self._lend() as store, store.writing():
            moment = time.time()
            self._check(store, call, moment)
            _count(store, call.session, moment, call.most.tokens, call.most.usd or 0.0)
            return _insert(store, call, CallStatus.SENT, moment)

    def unsent(self, number: int) -> None:
        """It was not sent after all: it is as if it had never been noted."""
        with self._lock, self._lend() as store, store.writing():
            row = store.connection.execute(
                "DELETE FROM call WHERE id = ? RETURNING session_key, time, most_tokens, most_usd", (number,)
            ).fetchone()
            _count(store, row["session_key"], row["time"], -row["most_tokens"], -(row["most_usd"] or 0.0))

    def settled(self, number: int, ended: CallEnd) -> None:
        """Note how it ended, together with its reply where it brought one."""
        with self._lock, self._lend() as store, store.writing():
            row = store.connection.execute(
                "SELECT session_key, time, most_tokens, most_usd FROM call WHERE id = ?", (number,)
            ).fetchone()
            if ended.status is not CallStatus.ABANDONED:
                tokens = ended.cost.tokens - row["most_tokens"]
                usd = (ended.cost.usd or 0.0) - (row["most_usd"] or 0.0)
                _count(store, row["session_key"], row["time"], tokens, usd)
            store.connection.execute(
                "UPDATE call SET status = ?, tokens_in = ?, tokens_out = ?, usd = ?, seconds = ? WHERE id = ?",
                (ended.status, ended.cost.tokens_in, ended.cost.tokens_out, ended.cost.usd, ended.seconds, number),
            )
            if ended.reply is not None:
                kept = ended.reply
                store.connection.execute(
                    "INSERT OR REPLACE INTO reply VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        ended.key,
                        kept.text,
                        kept.model,
                        kept.cost.tokens_in,
                        kept.cost.tokens_out,
                        kept.cost.usd,
                        kept.is_cut,
                        time.time(),
                    ),
                )

    def cached(self, call: Call) -> None:
        """Note an answer that cost nothing."""
        with self._lock, self._lend() as store, store.writing():
            _insert(store, call, CallStatus.CACHED, time.time())

    def known(self, key: str) -> Kept | None:
        """The reply that was given to the same question before."""
        with self._lock, self._lend() as store:
            row = store.connection.execute("SELECT * FROM reply WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        cost = Cost(tokens_in=row["tokens_in"], tokens_out=row["tokens_out"], usd=row["usd"])
        return Kept(text=row["text"], model=row["model"], cost=cost, is_cut=bool(row["is_cut"]))

    def _check(self, store: Store, call: Call, moment: float) -> None:
        caps = self._caps
        scopes = [_Scope("today", "day", _of_day(moment), "", caps.day_tokens, caps.day_usd)]
        if call.session:
            named = of_session(call.session)
            session = _Scope("this session", "session", named, call.session, caps.session_tokens, caps.session_usd)
            scopes.append(session)
        for scope in scopes:
            row = store.connection.execute("SELECT tokens, usd FROM cap WHERE scope = ?", (scope.key,)).fetchone()
            tokens, usd = (row["tokens"], row["usd"]) if row is not None else (0, 0.0)
            over_tokens = tokens + call.most.tokens - scope.tokens
            over_usd = usd + (call.most.usd or 0.0) - scope.usd
            if over_tokens <= 0 and over_usd <= 0:
                continue
            passing_tokens, passing_usd = _under_way(store, scope.session, moment)
            may_pass = over_tokens <= passing_tokens and over_usd <= passing_usd
            limit = "tokens" if over_tokens > 0 else "usd"
            most = f"{scope.tokens:,} tokens" if over_tokens > 0 else f"${scope.usd:.2f}"
            taken = f"{tokens:,}" if over_tokens > 0 else f"${usd:.4f}"
            raise BudgetExceeded(
                f"the cap of {most} for {scope.told} is reached ({taken} spent or reserved); raise "
                f"{scope.setting}_{limit} in config.toml",
                limit=limit,
                may_pass=may_pass,
            )


class _Scope(NamedTuple):
    """What a cap is of."""

    told: str
    setting: str
    """The names of its settings begin so."""
    key: str
    """In table ``cap``."""
    session: str
    """Empty for all."""
    tokens: int
    usd: float


def _under_way(store: Store, session: str, moment: float) -> tuple[int, float]:
    """Tokens and dollars reserved for requests that are under way: of processes that live."""
    rows = store.connection.execute(
        "SELECT pid, min(time) AS first, sum(most_tokens) AS tokens, sum(coalesce(most_usd, 0.0)) AS usd FROM call "
        "WHERE status = 'sent' AND time > ? AND (? = '' OR session_key = ?) GROUP BY pid",
        (moment - _LONGEST_SECONDS, session, session),
    ).fetchall()
    alive = [row for row in rows if is_there(row["pid"], row["first"])]
    return sum(row["tokens"] for row in alive), sum(row["usd"] for row in alive)


def of_session(key: str) -> str:
    """The name under which the caps count what a Session spends."""
    return f"s {key}"


def _of_day(moment: float) -> str:
    return f"d {datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def _count(store: Store, session: str, moment: float, tokens: int, usd: float) -> None:
    for scope in (of_session(session), _of_day(moment)) if session else (_of_day(moment),):
        store.connection.execute(
            "INSERT INTO cap VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE SET tokens = tokens + excluded.tokens, "
            "usd = usd + excluded.usd",
            (scope, tokens, usd),
        )


def spent(store: Store, *, run: str = "", session: str = "", since: float = 0.0) -> Spent:
    """What is spent: by a Run and all below it, by a Session, or by all since then."""
    if run:
        return _spent(store, _BELOW, run)
    if session:
        return _spent(store, "session_key = ? AND time > ?", session, since)
    return _spent(store, "time > ?", since)


def root_tokens(store: Store, *, session: str = "", since: float = 0.0) -> int:
    """Of what is spent, the tokens in and out of the models that lead Runs."""
    row = store.connection.execute(
        "SELECT coalesce(sum(tokens_in + tokens_out), 0) AS tokens FROM call "
        "WHERE purpose = 'root' AND time > ? AND (? = '' OR session_key = ?)",
        (since, session, session),
    ).fetchone()
    return int(row["tokens"])


def spent_by(store: Store, run: str) -> Spent:
    """What one Run spent by itself, without the Runs below it."""
    return _spent(store, "run = ?", run)


def _spent(store: Store, which: str, *values: str | float) -> Spent:
    """Of the calls that are so; one whose process was killed before it ended is abandoned."""
    found = Spent(**dict(store.connection.execute(_SPENT + which, values).fetchone()))
    if not found.under_way:
        return found
    rows = store.connection.execute(
        f"SELECT pid, max(time) AS time, count(*) AS count FROM call WHERE status = 'sent' AND {which} GROUP BY pid",
        values,
    )
    lost = sum(row["count"] for row in rows.fetchall() if not is_there(row["pid"], row["time"]))
    return replace(
        found, under_way=found.under_way - lost, failed=found.failed + lost, abandoned=found.abandoned + lost
    )


def _insert(store: Store, call: Call, status: CallStatus, moment: float) -> int:
    return int(
        store.connection.execute(
            "INSERT INTO call (run, session_key, time, pid, backend, model, purpose, status, most_tokens, most_usd, "
            "usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                call.run,
                call.session,
                moment,
                os.getpid(),
                call.backend,
                call.model,
                call.purpose,
                status,
                call.most.tokens,
                call.most.usd,
                0.0 if status is CallStatus.CACHED else None,
            ),
        ).lastrowid
        or 0
    )
