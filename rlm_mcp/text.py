"""Pure helpers on text: token estimate, cuts that say what they left out, cleaning.

The token estimate needs no tables (tiktoken downloads its own, which fails offline). It splits text the way the
byte-pair tokenisers pre-split it (words, digit triples, punctuation runs, line ends) and counts the pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PIECE = re.compile(r"[A-Za-z]{1,9}|\d{1,3}|[^\x00-\x7f]|[^\sA-Za-z0-9]{1,3}|\n+|[ \t]{2,}")
_SAMPLE_CHARS = 40_000
_CALIBRATION = 0.98
"""Against the o200k tokeniser on Briefs, answers, prose, code and logs: 0.96 to 1.06, calls with much JSON 1.1."""


def estimate_tokens(text: str) -> int:
    """About how many tokens a current model's tokeniser makes of ``text``. Long texts are sampled."""
    if len(text) > 2 * _SAMPLE_CHARS:
        step = len(text) // 8
        sample = "".join(text[i * step : i * step + _SAMPLE_CHARS // 8] for i in range(8))
        return max(1, round(_count(sample) * len(text) / len(sample)))
    return _count(text)


def _count(text: str) -> int:
    return round(len(_PIECE.findall(text)) * _CALIBRATION)


def clean(text: str) -> str:
    r"""``text`` as it may stand in a log: no NUL (shown as its picture), no lone surrogates, ``\r\n`` as it came."""
    if "\x00" in text:
        text = text.replace("\x00", "\u2400")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


def cut(text: str, max_chars: int, ref: str = "") -> str:
    """``text`` whole if it fits, else its head and tail with the exact count of what is left out between them.

    Args:
        max_chars: of the result, the mark included (at least 80).
        ref: where the whole can be read; named in the mark.
    """
    if len(text) <= max_chars:
        return text
    room = max(max_chars - len(_mark(len(text), ref)), 20)
    head = room * 2 // 3
    tail = room - head
    omitted = len(text) - head - tail
    return text[:head] + _mark(omitted, ref) + text[len(text) - tail :]


def _mark(omitted: int, ref: str) -> str:
    where = f"; whole: {ref}" if ref else ""
    return f" [... {omitted:,} characters left out{where} ...] "


def one_line(text: str, max_chars: int) -> str:
    """``text`` on one line, blanks folded, cut at the end with an ellipsis."""
    folded = " ".join(text[: max_chars * 4].split())
    if len(folded) <= max_chars and len(text) <= max_chars * 4:
        return folded
    return folded[: max_chars - 1].rstrip() + "\u2026" if len(folded) >= max_chars else folded + "\u2026"


def snippet(text: str, words: Sequence[str], width: int) -> str:
    """The part of the text where most of the words stand close together."""
    lowered = text.lower()
    at = sorted(place for word in words for place in _places(lowered, word))
    if not at:
        return one_line(text, width)
    best, most = at[0], 0
    for number, place in enumerate(at):
        near = sum(1 for other in at[number : number + 30] if other < place + width)
        if near > most:
            best, most = place, near
    begin = max(0, text.rfind("\n", max(0, best - 60), best) + 1 or best - 60)
    shown = one_line(text[begin : begin + width * 2], width)
    return f"...{shown}" if begin else shown


def _places(text: str, word: str, limit: int = 20) -> list[int]:
    found: list[int] = []
    place = text.find(word)
    while place >= 0 and len(found) < limit:
        found.append(place)
        place = text.find(word, place + len(word))
    return found
