"""How a request goes to an endpoint and what comes back: the seam between what is said and the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.request import getproxies, proxy_bypass

from rlm_mcp.sublm.lm import Stop

CONNECT_SECONDS = 10.0
"""How long a connection may take to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer that came whole."""

    status: int
    headers: Mapping[str, str]
    """As they came: names in any case."""
    content: bytes


class Sender(Protocol):
    """Posts JSON to one address. Safe to use from any thread."""

    def warm(self) -> None:
        """Begin with what takes long before the first request. Sends nothing."""

    def send(self, content: bytes, stop: Stop) -> Answer:
        """Post; the answer, whatever its status.

        Raises:
            SubLMBusy: no connection, or it was lost on the way.
            SubLMTimeout, Cancelled: it was ended; nothing is sent any more.
        """

    def close(self) -> None:
        """End what is under way, close the connections."""


def no_connection(why: str, scheme: str = "", host: str = "") -> str:
    """That none could be made, and what to do; ``scheme`` and ``host``: where a proxy may stand between."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all") if host and not proxy_bypass(host) else None
    if proxy:
        shown = re.sub(r"//[^/@]*@", "//", proxy)
        return f"no connection through the proxy {shown!r} ({why}); mend HTTP_PROXY, or add {host} to NO_PROXY"
    return f"no connection ({why}); start the server there, or mend OPENAI_BASE_URL (sub_base_url)"
