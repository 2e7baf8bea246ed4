"""Values and identifiers a user gave: addresses, paths, versions, numbers with units, names in quotes or backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlm_mcp.facts.patterns import lazy
from rlm_mcp.facts.prose import outside_code

MAX_VALUES = 80
"""Taken of one prompt."""
MAX_CODE_CHARS = 4_000
"""Of pasted code blocks only addresses and paths in this much of each are values."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its place in the text, in characters, and the line it stands in."""

    text: str
    line: str
    start: int
    end: int


_UNITS = (
    r"(?:ms|msec|milliseconds?|\u00b5s|ns|s|secs?|seconds?|mins?|minutes?|hrs?|hours?|h|days?|weeks?|months?|years?|"
    r"[kKMGT]i?[bB]|bytes?|bits?|px|rem|em|pt|vh|vw|"
    r"dpi|fps|Hz|[kMG]Hz|%|percent|[kKM]|x|tokens?|lines?|chars?|characters?|words?|columns?|rows?|requests?|req/s|"
    r"rps|qps|retries|attempts|items|entries|records|users|threads|workers|"
    r"connections|pages?|files?|tests?|steps?|times|levels?|cores?|USD|EUR|GBP|dollars|euros|cents)"
)
_URL = (
    r"(?P<url>(?:https?|wss?|ftp|ssh|git|postgres(?:ql)?|mysql|redis|mongodb(?:\+srv)?|file|"
    r"s3)://[^\s<>\"'`\u300d\u300f]+)"
)
_EMAIL = r"(?P<email>(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
_PATH = (
    r"(?P<path>(?<![\w/.:<])(?:~|\.{1,2})?/[\w@.+~-]+(?:/[\w@.+~*\[\]{}<>=-]*)*(?::\d+(?:[-:]\d+)?)?|"
    r"\b[A-Za-z]:\\[^\s\"'<>|]+|(?<![\w/@.+-])[\w@.+-]+(?:/[\w@.+*\[\]-]+)+\.\w{1,10}(?::\d+(?:[-:]\d+)?)?|"
    r"(?<![\w/.-])[\w.-]+(?:/[\w.-]+)+/(?=\s|$|[,;)])"
    r"|(?<![\w/.-])\.?[\w-]+(?:\.[\w-]+)*(?<!console)\.(?:py|pyi|ts|tsx|js|jsx|mjs|cjs|go|rs|java|kt|rb|php|cs|c|h|cpp|"
    r"hpp|swift|sh|md|mdx|json|jsonl|ya?ml|toml|ini|cfg|env|sql|html?|css|scss|vue|svelte|txt|csv|xml|lock|proto|tf|"
    r"gradle|ipynb|log|pdf|png|svg|db|sqlite)\b(?::\d+(?:[-:]\d+)?)?)"
)
_UUID = r"(?P<uuid>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)"
_HOST = (
    r"(?P<host>\b(?:localhost|\d{1,3}(?:\.\d{1,3}){3})(?::\d{2,5})?\b(?:/\S*)?|(?<![\w.-])[\w-]+(?:\.[\w-]+)*\.(?:com|"
    r"org|net|"
    r"io|dev|app|local|internal|co|ai|de|fr|uk)(?::\d{2,5})?\b(?:/[\w./-]*)?)"
)
_ENV = r"(?P<env>\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b)"
_VALUE = lazy(
    _URL,
    r"`(?P<tick>[^`\n]{1,200})`",
    r"(?<![\w])\"(?P<quote>[^\"\n]{1,160})\"(?!\w)|\u201c(?P<curly>[^\u201d\n]{1,160})\u201d|"
    r"\u300c(?P<corner>[^\u300d\n]{1,80})\u300d|\u00ab\s?(?P<guillemet>[^\u00bb\n]{1,120}?)\s?\u00bb|"
    r"\u201e(?P<low>[^\u201c\u201d\n]{1,120})[\u201c\u201d]",
    r"(?<![\w'])'(?P<single>[^'\n]{1,300})'(?![\w'])",
    _EMAIL,
    r"(?P<slash>(?:^|(?<=\s))/[a-z][\w-]*(?::[\w-]+)*(?![\w/.]))",
    _PATH,
    r"(?P<colour>(?<![\w&])#(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?\b)|"
    r"(?P<issue>(?:(?<![\w./-])[\w.-]+/[\w.-]+#\d+|(?<![\w&])#\d+)\b)",
    r"(?P<date>\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:\.\d+)?Z?)?\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|"
    r"\b\d{1,2}\.\d{1,2}\.\d{4}\b|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2}(?:, \d{4})?\b)",
    _UUID,
    _HOST,
    r"(?P<version>\bv\d+(?:\.\d+)*(?:-[\w.]+)?\b|(?<![\w.])\d+\.\d+\.\d+(?:[-+.][\w.]+)?\b|\b(?:Python|Node(?:\.js)?|"
    r"Go|Rust|Java|PHP|Ruby|TypeScript|React|Vue|Next(?:\.js)?|Postgres(?:QL)?|MySQL|Redis|Ubuntu|Debian|Kotlin|Swift|"
    r"Django|Rails|Spring|Angular|\.NET|C\+\+|Terraform|Kubernetes|Electron|Bun|Deno) v?\d+(?:\.\d+)*(?:\.x)?\+?)",
    rf"(?P<measure>(?<![\w.#-])[<>\u2264\u2265~=]{{0,2}}[$\u20ac\u00a3]?\d[\d,_]*(?:\.\d+)?\s?-?{_UNITS}(?![\w-])|"
    rf"[$\u20ac\u00a3]\d[\d,.]*\b|\b\d+(?:\.\d+)?%)",
    r"(?P<flag>(?<![\w-])--[a-zA-Z][\w-]+(?:=[^\s,;]+)?)",
    r"(?P<sha>\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{6,40}\b)",
    r"(?:\b(?:called|named|name(?:d)? it|call it|branch|package|repo(?:sitory)?|project|service|module|crate|table|"
    r"column|bucket|cluster|namespace|queue|topic|database|schema|model|user|key|token|tag|label|"
    r"env(?:ironment)?)\s+(?:is |as |name |named |called |= ?)?(?P<named>[A-Za-z][\w-]*[-_\d/][\w./-]*|"
    r"(?:(?<=called )|(?<=named )|(?<=name it )|(?<=call it ))(?!(?:from|by|in|on|with|it|the|a|an|at|to|out|for|when|"
    r"if|once|twice|every|only|via|through|after|before|as|is|and|or|directly|from|that|this|but|not|into|back|again|"
    r"so|because|while|just|even)\b)[\w.-]+))",
    _ENV,
    r"(?P<identifier>\b(?:[a-z][a-z0-9]+[A-Z][A-Za-z0-9]*\$?|[A-Z][a-z0-9]+[A-Z][A-Za-z0-9]*|"
    r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+|_[a-z]\w+)\b(?:\(\))?|(?<![\w-])[a-z][a-z0-9]*-(?:[a-z]+-)*[a-z]*\d[\w-]*\b|"
    r"\b[A-Z]{2,10}-\d+\b)",
    r"(?P<labelled>\b(?:[Pp]ort|[Ii]ssue|PR|pr|MR|[Ll]ines?|[Vv]ersion|[Tt]icket|[Pp]hase|[Ss]tep|[Ee]rror|[Cc]ode|"
    r"[Ee]xit|[Bb]uild|[Rr]un|[Jj]ob|[Pp]lan) \d+(?:-\d+)?\b)",
    r"(?P<number>(?:\b(?:id|limit|timeout|max(?:imum)?|min(?:imum)?|to|of|is|at|by|than|exactly|level|size|count|"
    r"width|height|priority)|[=:<>\u2264\u2265])\s?\(?"
    rf"(?!\d[\d,_]*(?:\.\d+)?\s?-?{_UNITS}(?![\w-]))"
    r"(?P<bare>\d[\d,_]*(?:\.\d+)?)\b(?![.)]\s))",
    r"(?P<long>(?<![\w.#/-])\d{3,}(?![\w/-]|\.\d))",
    r"(?P<mention>(?<![\w@.])@[A-Za-z~./][\w./~-]*\w)",
)
_VALUE_IN_CODE = lazy(_URL, _EMAIL, _PATH, _UUID, _HOST, _ENV)
_IN_TRACE = lazy(r"at \S+ ?\(?\S+:\d+|at <?\w+>? \(|File \"[^\"]+\", line \d")
"""A line of a pasted stack trace: its names are not what the user gave."""
_STRIPPED = ".,;:!?*"
_QUOTES = frozenset({"quote", "curly", "corner", "guillemet", "low", "single"})
_TRIMMED = frozenset({*_QUOTES, "named", "mention", "labelled", "identifier"})
MAX_QUOTED_WORDS = 8
"""A longer quotation is a sentence, no name."""
_NO_IDENTIFIER = frozenset({
    "GitHub", "JavaScript", "TypeScript", "LaTeX", "YouTube", "iOS", "macOS", "OpenAI", "ChatGPT", "README", "DevOps",
    "PostgreSQL", "MongoDB", "GraphQL",
})  # fmt: skip


def values_in(text: str, own: list[tuple[int, int]] | None = None) -> tuple[list[Value], int]:
    """(the distinct values in ``text``, those in prose first, how many were left out over the limit).

    ``own``: the parts of the prose that the user worded; all of it by default.
    """
    found: dict[str, Value] = {}
    spans = outside_code(text)
    for start, end in spans if own is None else own:
        _collect(_VALUE.finditer(text, start, end), text, found)
    at = 0
    for start, end in [*spans, (len(text), len(text))]:
        if start > at:
            _collect(_VALUE_IN_CODE.finditer(text, at, min(start, at + MAX_CODE_CHARS)), text, found)
        at = max(at, end)
    values = list(found.values())
    return values[:MAX_VALUES], max(0, len(values) - MAX_VALUES)


def _collect(matches: Iterator[re.Match[str]], text: str, found: dict[str, Value]) -> None:
    for match in matches:
        kind = next(name for name, value in match.groupdict().items() if value is not None)
        group = "bare" if kind == "number" else kind
        value = match[group]
        begin = match.start(group)
        if kind in {"url", "path", "host"}:
            value = _without_end(value)
        value = value.strip()
        if kind in _TRIMMED and value.rstrip(_STRIPPED):
            value = value.rstrip(_STRIPPED)
        if kind in _QUOTES and value.count(" ") >= MAX_QUOTED_WORDS:
            continue
        if kind == "slash" and begin and text[begin - 1] not in "\n ":
            continue
        if (len(value) < 2 and kind not in {"number", "tick"}) or value in _NO_IDENTIFIER or not value:
            continue
        if value not in found and not _IN_TRACE.match(_line_of(text, begin)):
            found[value] = Value(value[:400], _line_of(text, begin), begin, begin + len(value))


def _without_end(value: str) -> str:
    value = value.rstrip(_STRIPPED)
    while value.endswith((")", "]", "}")) and value.count(value[-1]) > value.count(
        {")": "(", "]": "[", "}": "{"}[value[-1]]
    ):
        value = value[:-1].rstrip(_STRIPPED)
    return value


def _line_of(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    if end - start > 300:
        start = max(start, at - 120)
        end = min(end, at + 180)
    return text[start:end].strip()
