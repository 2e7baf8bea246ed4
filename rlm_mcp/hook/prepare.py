"""Leave the answer to a Codex Session's next compaction, ready to be served (see ``ready.py``)."""

from __future__ import annotations

import json
import os

from rlm_mcp.brief.render import Brief
from rlm_mcp.events import Client
from rlm_mcp.hook import ready
from rlm_mcp.hook.payloads import context_object
from rlm_mcp.store import live, sources
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.brief import brief


def prepare(store: Store, session: SessionRow, made: Brief | None = None) -> bool:
    """Leave the answer of a Session (``made``, if it is made already); False where its Client has no use for one.

    Raises:
        StoreError: the Store cannot be read.
        OSError: the answer cannot be written, or the transcript is gone.
    """
    home = str(store.paths.home)
    path = ready.path_of(home, session.client_session)
    source = sources.current(store, session.path)
    if session.client is not Client.CODEX or not path or source is None:
        return False
    if made is None:
        made = brief(store, session, latest_tokens=store.settings.tail_tokens)
    content = {
        "version": ready.VERSION,
        "transcript": session.path,
        "offset": source.offset,
        "proof": ready.proof(session.path, source.offset),
        "settings": ready.settings_stamp(home, os.environ),
        "reply": context_object(made.text),
        "fold": {
            "client_session": session.client_session,
            "session_key": session.key,
            "upto_seq": session.events,
            "brief": made.text,
            "tokens": made.tokens,
            "loss": json.dumps(made.loss.kinds),
        },
    }
    live.leave(store.paths, live.path_of(store.paths, "ready", session.client_session), content)
    return True
