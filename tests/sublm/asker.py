"""Asks in a process of its own, to be killed or to race: ``python -m tests.sublm.asker '{"url": ..., ...}'``.

Prints ``asking``, then a JSON line with what came of it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rlm_mcp.config import Price
from rlm_mcp.costs import Limits
from rlm_mcp.store.ledger import Caps
from rlm_mcp.sublm.metered import Asked
from rlm_mcp.sublm.openai_api import OpenAIEndpoint
from tests.sublm.rig import NO_CAPS, Rig


def main(given: dict[str, object]) -> None:
    """Ask all ``prompts`` with ``width``, below ``caps``."""
    caps = Caps(**given["caps"]) if given.get("caps") else NO_CAPS
    backend = OpenAIEndpoint(base_url=str(given["url"]), key="k", model="m")
    rig = Rig(Path(str(given["home"])), backend, caps=caps, limits=Limits(), prices={"m": Price(usd_in=1, usd_out=10)})
    print("asking", flush=True)
    found = rig.ask_all(given["prompts"], int(str(given["width"])), max_tokens=int(str(given.get("max_tokens", 64))))
    answered = sum(isinstance(one, Asked) for one in found)
    print(json.dumps({"answered": answered, "spent": asdict(rig.budget.spent)}), flush=True)
    rig.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
