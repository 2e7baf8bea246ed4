"""Functions, classes and types that an edit adds, by the file's language. Line-based, no parsing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm_mcp.facts.patterns import LazyPattern

MAX_SYMBOLS = 200
"""Taken of one edit."""
MAX_TEXT_CHARS = 400_000
"""Of a longer text only the beginning is searched."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition."""

    name: str
    line: str
    start: int
    """Of the line in the text, in characters."""


def _pattern(*alternatives: str) -> LazyPattern:
    return LazyPattern(r"^[ \t]*(?:" + "|".join(alternatives) + ")", re.MULTILINE)


_PYTHON = _pattern(r"(?:async\s+)?def\s+(\w+)", r"class\s+(\w+)", r"type\s+(\w+)\s*[=\[]")
_SCRIPT = _pattern(
    r"(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:async\s+)?function\s*\*?\s*([\w$]+)",
    r"(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?class\s+([\w$]+)",
    r"(?:export\s+)?(?:declare\s+)?(?:interface|enum|namespace)\s+([\w$]+)\s*[<{\s]",
    r"(?:export\s+)?(?:declare\s+)?const\s+enum\s+([\w$]+)",
    r"(?:export\s+)?(?:declare\s+)?type\s+([\w$]+)\s*(?:<[^=\n]*>)?\s*=",
    r"(?:export\s+)?(?:const|let|var)\s+([\w$]+)\s*(?::[^=\n]+)?=\s*(?:async\s*)?(?:function\b|"
    r"\([^)\n]*\)\s*(?::[^=\n]+)?=>|[\w$]+\s*=>|(?:React\.)?(?:memo|forwardRef|component\$|\$|lazy)"
    r"\b[^\n]*\()",
    r"(?:(?:public|private|protected|static|async|override|readonly|get|"
    r"set)\s+)+\*?#?([\w$]+)\s*(?:<[^>\n]*>)?\([^\n]*\{\s*$",
    r"(?!(?:if|for|while|switch|catch|return|function|else|do|with|super|"
    r"await)\b)([\w$]+)\([^()\n]*\)\s*(?::\s*[\w<>\[\]| .]+)?\s*\{\s*$",
)
_GO = _pattern(r"func\s+(?:\([^)]*\)\s*)?(\w+)\s*[\[(]", r"type\s+(\w+)\s+(?:struct|interface|func|\w|\[|\*)")
_RUST = _pattern(
    r"(?:pub(?:\([^)]*\))?\s+)?(?:default\s+)?(?:const\s+)?(?:async\s+)?(?:unsafe\s+)?(?:extern\s+\"[^\"]*\"\s+)?fn\s+(\w+)",
    r"(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:struct|enum|trait|union|type|mod)\s+(\w+)",
    r"macro_rules!\s*(\w+)",
)
_JAVA_MODIFIERS = (
    r"(?:(?:public|private|protected|internal|static|final|abstract|sealed|partial|override|open|data|suspend|inline|"
    r"virtual|async|readonly|synchronized|native|default|unsafe|extern|new|operator|infix|tailrec|inner|value|"
    r"annotation|const|lateinit|actual|expect|companion|ref)\s+)"
)
_JAVA = _pattern(
    rf"{_JAVA_MODIFIERS}*(?:class|interface|enum(?:\s+class)?|record(?:\s+(?:struct|class))?|struct|object|@interface|"
    rf"delegate\s+\w+)\s+(\w+)",
    rf"{_JAVA_MODIFIERS}*fun\s+(?:<[^>\n]*>\s*)?(?:[\w.<>?]+\.)?(\w+)\s*\(",
    rf"{_JAVA_MODIFIERS}+(?:<[^>\n]+>\s*)?(?:[\w.<>\[\],?]+\s+)?(\w+)\s*(?:<[^>\n]*>)?\([^;\n]*(?:\{{|\)|,|=>|"
    rf"throws\b[^\n]*)\s*$",
    rf"{_JAVA_MODIFIERS}*typealias\s+(\w+)",
)
_RUBY = _pattern(r"def\s+(?:self\.)?([\w?!=]+)", r"(?:class|module)\s+([\w:]+)")
_C = _pattern(
    r"(?:typedef\s+)?(?:struct|class|enum(?:\s+class)?|union|"
    r"namespace)\s+(?:\w+\s+)?(\w+)\s*(?:final\s*)?(?::[^:;{\n][^;{\n]*)?\{?\s*$",
    r"(?!return\b|else\b|if\b|for\b|while\b|switch\b|case\b|new\b|delete\b|throw\b|using\b|typedef\b|"
    r"#)(?:[A-Za-z_][\w:<>,]*[\s*&]+)+(~?[A-Za-z_][\w:]*(?:operator\S+)?)\s*\([^;\n]*(?:\)\s*(?:const|noexcept|"
    r"override|final|\s)*\{?|,)\s*$",
    r"#define\s+(\w+)\(",
)
_SHELL = _pattern(r"(?:function\s+)?([\w:.-]+)\s*\(\)\s*\{?\s*$", r"function\s+([\w:.-]+)")
_SWIFT = _pattern(
    r"(?:(?:@\w+(?:\([^)]*\))?|public|private|fileprivate|internal|open|final|static|class|override|mutating|async|"
    r"nonisolated|required|convenience|indirect|lazy|weak)\s+)*(?:func|struct|class|enum|protocol|actor|typealias|"
    r"extension)\s+(\w[\w.]*)"
)
_PHP = _pattern(
    r"(?:(?:public|private|protected|static|final|abstract|readonly)\s+)*function\s+&?(\w+)",
    r"(?:(?:final|abstract|readonly)\s+)*(?:class|interface|trait|enum)\s+(\w+)",
)
_ELIXIR = _pattern(r"defp?\s+([\w?!]+)", r"def(?:module|protocol|macrop?|impl)\s+([\w.?!]+)")
_SQL = LazyPattern(
    r"^[ \t]*create\s+(?:or\s+replace\s+)?(?:unique\s+)?(?:table|view|function|procedure|trigger|type|index|"
    r"materialized\s+view)\s+(?:if\s+not\s+exists\s+)?([\w.\"`]+)",
    re.MULTILINE | re.IGNORECASE,
)
_LUA = _pattern(r"(?:local\s+)?function\s+([\w.:]+)")
_ZIG = _pattern(
    r"(?:pub\s+)?(?:export\s+)?(?:inline\s+)?fn\s+(\w+)",
    r"(?:pub\s+)?const\s+(\w+)\s*=\s*(?:struct|enum|union|error)\b",
)
_SCALA = _pattern(
    r"(?:(?:private|protected|override|implicit|final|sealed|abstract|case|lazy|inline)(?:\[\w+\])?\s+)*(?:def|class|"
    r"object|trait|enum)\s+(\w+)"
)
_DART = _pattern(
    r"(?:abstract\s+)?(?:class|mixin|enum|"
    r"extension)\s+(\w+)",
    r"(?!return|if|for|while|switch|else|await\b)(?:[\w<>?,]+\s+)+(\w+)\s*\([^;\n]*\)\s*(?:async\s*)?(?:\{|=>)",
)

_BY_ENDING: dict[str, LazyPattern] = {
    **dict.fromkeys(("py", "pyi", "pyw"), _PYTHON),
    **dict.fromkeys(("ts", "tsx", "js", "jsx", "mjs", "cjs", "mts", "cts", "vue", "svelte", "astro"), _SCRIPT),
    **dict.fromkeys(("java", "kt", "kts", "cs", "groovy", "gradle"), _JAVA),
    **dict.fromkeys(("c", "h", "cc", "cpp", "cxx", "hpp", "hh", "hxx", "m", "mm", "cu", "ino"), _C),
    **dict.fromkeys(("sh", "bash", "zsh", "bats", "ksh"), _SHELL),
    **dict.fromkeys(("ex", "exs"), _ELIXIR),
    **dict.fromkeys(("rb", "rake"), _RUBY),
    **dict.fromkeys(("scala", "sc"), _SCALA),
    "go": _GO, "rs": _RUST, "swift": _SWIFT, "php": _PHP, "sql": _SQL, "lua": _LUA, "zig": _ZIG, "dart": _DART,
}  # fmt: skip


def symbols_in(path: str, text: str) -> list[Symbol]:
    """The definitions in ``text``, in order, each name once."""
    pattern = _BY_ENDING.get(path.rsplit(".", 1)[-1].lower() if "." in path else "")
    if pattern is None or not text:
        return []
    found: dict[str, Symbol] = {}
    for match in pattern.finditer(text[:MAX_TEXT_CHARS]):
        name = match[match.lastindex] if match.lastindex else ""
        if name and name not in found:
            begin = match.start() + len(match[0]) - len(match[0].lstrip())
            end = text.find("\n", match.start(match.lastindex or 0))
            line = text[begin : len(text) if end < 0 else end].rstrip()
            found[name] = Symbol(name, line[:400], begin)
    return list(found.values())


def added_symbols(path: str, added: str, removed: str) -> tuple[list[Symbol], int]:
    """(definitions in ``added`` that ``removed`` does not have, how many were left out over the limit)."""
    new = symbols_in(path, added)
    if new and removed:
        old = {symbol.name for symbol in symbols_in(path, removed)}
        new = [symbol for symbol in new if symbol.name not in old]
    return new[:MAX_SYMBOLS], max(0, len(new) - MAX_SYMBOLS)


def removed_symbols(path: str, added: str, removed: str) -> list[str]:
    """Names defined in ``removed`` and no longer in ``added``."""
    old = symbols_in(path, removed)
    if not old:
        return []
    still = {symbol.name for symbol in symbols_in(path, added)}
    return [symbol.name for symbol in old if symbol.name not in still]
