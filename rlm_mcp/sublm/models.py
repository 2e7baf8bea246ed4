"""Which models an OpenAI-compatible endpoint has.

Format: https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

import json
import urllib.request
from email.message import Message
from http.client import HTTPException
from typing import IO

_SECONDS = 3.0
_MOST_BYTES = 4 << 20
_NAME_CHARS = 200


class _NoWayOn(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else with the key."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """No."""


def listed_models(base_url: str, key: str) -> tuple[str, ...]:
    """Names of the models that are listed there; none where it lists none, or is not to be reached."""
    headers = {
        "Accept": "application/json",
        "User-Agent": "rlm-mcp",
        **({"Authorization": f"Bearer {key}"} if key else {}),
    }
    asked = urllib.request.Request(f"{base_url}/models", headers=headers)  # noqa: S310  # http or https: see _address
    try:
        with urllib.request.build_opener(_NoWayOn).open(asked, timeout=_SECONDS) as answer:
            found = json.loads(answer.read(_MOST_BYTES))
    except (OSError, HTTPException, ValueError, RecursionError):
        return ()
    rows = found.get("data") if isinstance(found, dict) else None
    names = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(
        name for name in names if isinstance(name, str) and name.isprintable() and 0 < len(name) <= _NAME_CHARS
    )
