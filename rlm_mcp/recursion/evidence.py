"""Quotes that are to prove an answer, checked byte for byte against what they are said to be from.

A quote that is found becomes a span with the exact Ref of its bytes; one that is not is marked unverified, and is never
shown as a citation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rlm_mcp.recursion.scope import Source, pieces

MAX_QUOTES = 50
MAX_QUOTE_CHARS = 4_000
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A quote and where it stands."""

    quote: str
    is_verified: bool
    source: str = ""
    ref: str = ""
    """Of exactly the quoted bytes; empty where the source has no Ref."""


def check(
    quotes: Sequence[str], sources: Sequence[Source], is_over: Callable[[], bool] = lambda: False
) -> tuple[Evidence, ...]:
    """Each quote with the first place where its very bytes stand; every source is read once, whatever is quoted.

    Those beyond ``MAX_QUOTES`` are not looked for, and so are not verified.

    Args:
        is_over: looked at again and again; once it is so, what was not found yet stays unverified.
    """
    found: dict[str, Evidence] = {}
    asked = list(dict.fromkeys(quotes))
    fit = (quote for quote in asked[:MAX_QUOTES] if quote and len(quote) <= MAX_QUOTE_CHARS)
    wanted = {quote: quote.encode("utf-8", "surrogatepass") for quote in fit}
    for source in sources:
        if not wanted or is_over():
            break
        for quote, place in _find(wanted, source, is_over).items():
            length = len(wanted.pop(quote))
            ref = source.ref_of(place, place + length)
            found[quote] = Evidence(quote=quote, is_verified=True, source=source.name, ref=ref)
    return tuple(found.get(one) or Evidence(quote=one[:MAX_QUOTE_CHARS], is_verified=False) for one in asked)


def without_secrets(evidence: Sequence[Evidence], redact: Callable[[str], str]) -> tuple[Evidence, ...]:
    """As it may leave the machine: marks in place of secrets."""
    return tuple(replace(one, quote=redact(one.quote)) for one in evidence)


def verified_refs(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Refs of the quotes that were found, each once."""
    return tuple(dict.fromkeys(one.ref for one in evidence if one.is_verified and one.ref))


def _find(wanted: Mapping[str, bytes], source: Source, is_over: Callable[[], bool]) -> dict[str, int]:
    """Where the quotes stand first in the source, by offset in its file; those that do not are left out."""
    found: dict[str, int] = {}
    overlap = max(map(len, wanted.values())) - 1
    for offset, piece in pieces(source, overlap, _PIECE_BYTES):
        for quote in wanted.keys() - found.keys():
            at = piece.find(wanted[quote])
            if at >= 0:
                found[quote] = offset + at
        if len(found) == len(wanted) or is_over():
            break
    return found
