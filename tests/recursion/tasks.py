"""Long texts with questions whose answers are known, the code that a good root writes, and a sub-model that never errs.

Counted, most common, by user, by date, in pairs (as in OOLONG, arXiv 2511.02817), a needle, two hops, and a recursion
of depth three. What a line is about can be told by a model alone: no word of it names the label.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations

from rlm_mcp.sublm.lm import Request
from tests.recursion.rig import block

LABELS = ("refund", "praise", "outage", "question", "spam")
_USERS = 40
_WORDS = ("the", "of", "and", "we", "it", "on", "was", "late", "green", "small", "again", "café", "straße", "never")
_SINCE = date(2026, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A text of many lines ``date | user | words``, and what is asked of it."""

    text: str
    gold: Mapping[str, str]
    """Task -> answer."""
    quote: str
    """The needle's line."""


def label(line: str) -> str:
    """What a line is about; only the sub-model knows."""
    return LABELS[hashlib.blake2b(line.encode(), digest_size=2).digest()[0] % len(LABELS)]


def made(size_bytes: int, seed: int = 1) -> Dataset:
    """A text of about that many bytes."""
    rng = random.Random(seed)
    lines: list[str] = []
    size = 0
    while size < size_bytes:
        day = _SINCE + timedelta(days=rng.randrange(365))
        words = " ".join(rng.choices(_WORDS, k=12))
        lines.append(f"{day} | user{rng.randrange(_USERS):02d} | {words} #{len(lines)}")
        size += len(lines[-1].encode()) + 1
    middle = len(lines) * 2 // 3
    lines.insert(middle, "2026-05-05 | user07 | the vault of Ångström opens with the word of the keeper of Zürich #a")
    lines.insert(middle // 2, "2026-06-06 | user08 | the keeper of Zürich says: 'marmalade-4711' #b")
    return Dataset(text="\n".join(lines), gold=_gold(lines), quote=lines[middle // 2])


def _gold(lines: list[str]) -> dict[str, str]:
    counts: Counter[str] = Counter()
    by_user: Counter[str] = Counter()
    in_range = 0
    users: dict[str, set[str]] = {}
    for line in lines:
        day, user, _words = line.split(" | ", 2)
        found = label(line)
        counts[found] += 1
        by_user[user] += found == "outage"
        in_range += found == "refund" and "2026-03-01" <= day <= "2026-04-30"
        users.setdefault(user, set()).add(found)
    pairs = sum(1 for a, b in combinations(sorted(users), 2) if "spam" in users[a] and "praise" in users[b])
    most = max(by_user.items(), key=lambda pair: (pair[1], pair[0]))
    return {
        "count": str(counts["outage"]),
        "most common": max(counts, key=lambda name: (counts[name], name)),
        "per user": f"{most[0]}: {most[1]}",
        "date range": str(in_range),
        "pairs": str(pairs),
        "needle": "marmalade-4711",
        "two hops": "marmalade-4711",
        "depth 3": str(counts["outage"]),
    }


def sub(request: Request) -> str:
    """The sub-model: labels lines, finds names, and sees what it is given."""
    task, _colon, text = request.prompt.partition(":\n")
    if task.startswith("Label"):
        return json.dumps([label(line) for line in text.split("\n")])
    if task.startswith("Count"):
        return str(sum(label(line) == "outage" for line in text.split("\n") if line))
    if task.startswith("Whose word"):
        return text.split("the word of ")[1].split(" #")[0]
    raise AssertionError(f"asked: {request.prompt[:200]}")


_LABELLED = """\
text = context if isinstance(context, str) else "\\n".join(context)
lines = [line for line in text.split("\\n") if line.count(" | ") == 2 and line[:4] == "2026"]
parts, size = [[]], 0
for line in lines:
    if size > 80_000:
        parts.append([])
        size = 0
    parts[-1].append(line)
    size += len(line)
schema = {"type": "array", "items": {"enum": ["refund", "praise", "outage", "question", "spam"]}}
texts = ["\\n".join(part) for part in parts]
found = llm_map(texts, "Label each line as refund, praise, outage, question or spam:\\n{item}", schema=schema)
labels = [one for part in found for one in part]
rows = [(*line.split(" | ", 2)[:2], one) for line, one in zip(lines, labels, strict=True)]
print(len(lines), found.coverage)"""

_CODE: Mapping[str, str] = {
    "count": "FINAL(labels.count('outage'))",
    "most common": "from collections import Counter\nc = Counter(labels)\nFINAL(max(c, key=lambda n: (c[n], n)))",
    "per user": "from collections import Counter\nc = Counter(u for d, u, one in rows if one == 'outage')\n"
    "u, n = max(c.items(), key=lambda p: (p[1], p[0]))\nFINAL(f'{u}: {n}')",
    "date range": "FINAL(sum(one == 'refund' and '2026-03-01' <= d <= '2026-04-30' for d, u, one in rows))",
    "pairs": "from itertools import combinations\nusers = {}\n"
    "for d, u, one in rows:\n    users.setdefault(u, set()).add(one)\n"
    "FINAL(sum('spam' in users[a] and 'praise' in users[b] for a, b in combinations(sorted(users), 2)))",
}
_NEEDLE = """\
import re
text = context if isinstance(context, str) else "\\n".join(context)
found = re.search(r"[^\\n]*keeper of Zürich says: '([^']+)'[^\\n]*", text)
FINAL(found[1], quotes=[found[0]])"""
_HOPS = (
    """\
import re
text = context if isinstance(context, str) else "\\n".join(context)
vault = re.search(r"[^\\n]*vault of Ångström[^\\n]*", text)[0]
who = llm_query("Whose word opens it? Name alone:\\n" + vault)
print(who)""",
    """\
said = re.search(rf"[^\\n]*{re.escape(who)} says: '([^']+)'[^\\n]*", text)
FINAL(said[1], quotes=[vault, said[0]])""",
)
_DEEP = """\
text = context if isinstance(context, str) else "\\n".join(context)
if len(text) > 250_000 and MAY_GO_ON:
    cut = [0]
    for k in (1, 2, 3):
        cut.append(text.index("\\n", k * len(text) // 4) + 1)
    parts = [text[a:b] for a, b in zip(cut, [*cut[1:], len(text)])]
    asked = [("How many lines are about an outage? DEEP", part) for part in parts]
    FINAL(sum(int(n) for n in rlm_query_batched(asked)))
lines = [line for line in text.split("\\n") if line.count(" | ") == 2 and line[:4] == "2026"]
step = 1_000
texts = ["\\n".join(lines[at:at + step]) for at in range(0, len(lines), step)]
FINAL(sum(int(n) for n in llm_query_batched(["Count lines about an outage:\\n" + text for text in texts])))"""

TASKS = ("count", "most common", "per user", "date range", "pairs", "needle", "two hops", "depth 3")


def root(request: Request) -> str:
    """The root model: reads its task from the question's last word, and writes the code for its step."""
    first = request.history[0][0] if request.history else request.prompt
    question, step = first.partition("\n\n")[0], len(request.history)
    if "DEEP" in question:
        depth = first.rpartition("depth ")[2].removesuffix("]")
        return block(_DEEP.replace("MAY_GO_ON", str(int(depth) > 0)))
    task = question.rpartition(": ")[2]
    if task == "needle":
        return block(_NEEDLE)
    if task == "two hops":
        return block(_HOPS[step])
    return block(_LABELLED if step == 0 else _CODE[task])


def question(task: str) -> str:
    """As it is asked."""
    return "How many lines are about an outage? DEEP" if task == "depth 3" else f"See the lines. Answer for: {task}"
