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


_PYTHON = _pattern(r"(?:async[ \t]+)?def[ \t]+(\w+)", r"class[ \t]+(\w+)", r"type[ \t]+(\w+)[ \t]*[=\[]")
_SCRIPT = _pattern(
    r"(?:export[ \t]+)?(?:default[ \t]+)?(?:declare[ \t]+)?(?:async[ \t]+)?function[ \t]*\*?[ \t]*([\w$]+)",
    r"(?:export[ \t]+)?(?:default[ \t]+)?(?:declare[ \t]+)?(?:abstract[ \t]+)?class[ \t]+([\w$]+)",
    r"(?:export[ \t]+)?(?:declare[ \t]+)?(?:interface|enum|namespace)[ \t]+([\w$]+)[ \t]*[<{ \t]",
    r"(?:export[ \t]+)?(?:declare[ \t]+)?const[ \t]+enum[ \t]+([\w$]+)",
    r"(?:export[ \t]+)?(?:declare[ \t]+)?type[ \t]+([\w$]+)[ \t]*(?:<[^=\n]*>)?[ \t]*=",
    r"(?:export[ \t]+)?(?:const|let|var)[ \t]+([\w$]+)[ \t]*(?::[^=\n]+)?=[ \t]*(?:async[ \t]*)?(?:function\b|"
    r"\([^)\n]*\)[ \t]*(?::[^=\n]+)?=>|[\w$]+[ \t]*=>|(?:React\.)?(?:memo|forwardRef|component\$|\$|lazy)"
    r"\b[^\n]*\()",
    r"(?:(?:public|private|protected|static|async|override|readonly|get|"
    r"set)[ \t]+)+\*?#?([\w$]+)[ \t]*(?:<[^>\n]*>)?\([^\n]*\{[ \t]*$",
    r"(?!(?:if|for|while|switch|catch|return|function|else|do|with|super|"
    r"await)\b)([\w$]+)\([^()\n]*\)[ \t]*(?::[ \t]*[\w<>\[\]| .]+)?[ \t]*\{[ \t]*$",
)
_GO = _pattern(
    r"func[ \t]+(?:\([^)]*\)[ \t]*)?(\w+)[ \t]*[\[(]", r"type[ \t]+(\w+)[ \t]+(?:struct|interface|func|\w|\[|\*)"
)
_RUST = _pattern(
    r"(?:pub(?:\([^)]*\))?[ \t]+)?(?:default[ \t]+)?(?:const[ \t]+)?(?:async[ \t]+)?(?:unsafe[ \t]+)?(?:extern[ "
    r"\t]+\"[^\"]*\"[ \t]+)?fn[ \t]+(\w+)",
    r"(?:pub(?:\([^)]*\))?[ \t]+)?(?:unsafe[ \t]+)?(?:struct|enum|trait|union|type|mod)[ \t]+(\w+)",
    r"macro_rules![ \t]*(\w+)",
)
_JAVA_MODIFIERS = (
    r"(?:(?:public|private|protected|internal|static|final|abstract|sealed|partial|override|open|data|suspend|inline|"
    r"virtual|async|readonly|synchronized|native|default|unsafe|extern|new|operator|infix|tailrec|inner|value|"
    r"annotation|const|lateinit|actual|expect|companion|ref)[ \t]+)"
)
_JAVA = _pattern(
    rf"{_JAVA_MODIFIERS}*(?:class|interface|enum(?:[ \t]+class)?|record(?:[ \t]+(?:struct|class))?|struct|object|"
    rf"@interface|"
    rf"delegate[ \t]+\w+)[ \t]+(\w+)",
    rf"{_JAVA_MODIFIERS}*fun[ \t]+(?:<[^>\n]*>[ \t]*)?(?:[\w.<>?]+\.)?(\w+)[ \t]*\(",
    rf"{_JAVA_MODIFIERS}+(?:<[^>\n]+>[ \t]*)?(?:[\w.<>\[\],?]+[ \t]+)?(\w+)[ \t]*(?:<[^>\n]*>)?\([^;\n]*(?:\{{|\)|,|=>|"
    rf"throws\b[^\n]*)[ \t]*$",
    rf"{_JAVA_MODIFIERS}*typealias[ \t]+(\w+)",
)
_RUBY = _pattern(r"def[ \t]+(?:self\.)?([\w?!=]+)", r"(?:class|module)[ \t]+([\w:]+)")
_C = _pattern(
    r"(?:typedef[ \t]+)?(?:struct|class|enum(?:[ \t]+class)?|union|"
    r"namespace)[ \t]+(?:\w+[ \t]+)?(\w+)[ \t]*(?:final[ \t]*)?(?::[^:;{\n][^;{\n]*)?\{?[ \t]*$",
    r"(?!return\b|else\b|if\b|for\b|while\b|switch\b|case\b|new\b|delete\b|throw\b|using\b|typedef\b|"
    r"#)(?:[A-Za-z_][\w:<>,]*[ \t*&]+)+(~?[A-Za-z_][\w:]*(?:operator\S+)?)[ \t]*\([^;\n]*(?:\)[ \t]*(?:const|noexcept|"
    r"override|final|\s)*\{?|,)[ \t]*$",
    r"#define[ \t]+(\w+)\(",
)
_SHELL = _pattern(r"(?:function[ \t]+)?([\w:.-]+)[ \t]*\(\)[ \t]*\{?[ \t]*$", r"function[ \t]+([\w:.-]+)")
_SWIFT = _pattern(
    r"(?:(?:@\w+(?:\([^)]*\))?|public|private|fileprivate|internal|open|final|static|class|override|mutating|async|"
    r"nonisolated|required|convenience|indirect|lazy|weak)[ \t]+)*(?:func|struct|class|enum|protocol|actor|typealias|"
    r"extension)[ \t]+(\w[\w.]*)"
)
_PHP = _pattern(
    r"(?:(?:public|private|protected|static|final|abstract|readonly)[ \t]+)*function[ \t]+&?(\w+)",
    r"(?:(?:final|abstract|readonly)[ \t]+)*(?:class|interface|trait|enum)[ \t]+(\w+)",
)
_ELIXIR = _pattern(r"defp?[ \t]+([\w?!]+)", r"def(?:module|protocol|macrop?|impl)[ \t]+([\w.?!]+)")
_SQL = LazyPattern(
    r"^[ \t]*create[ \t]+(?:or[ \t]+replace[ \t]+)?(?:unique[ \t]+)?(?:table|view|function|procedure|trigger|type|"
    r"index|"
    r"materialized[ \t]+view)[ \t]+(?:if[ \t]+not[ \t]+exists[ \t]+)?([\w.\"`]+)",
    re.MULTILINE | re.IGNORECASE,
)
_LUA = _pattern(r"(?:local[ \t]+)?function[ \t]+([\w.:]+)")
_ZIG = _pattern(
    r"(?:pub[ \t]+)?(?:export[ \t]+)?(?:inline[ \t]+)?fn[ \t]+(\w+)",
    r"(?:pub[ \t]+)?const[ \t]+(\w+)[ \t]*=[ \t]*(?:struct|enum|union|error)\b",
)
_SCALA = _pattern(
    r"(?:(?:private|protected|override|implicit|final|sealed|abstract|case|lazy|inline)(?:\[\w+\])?[ \t]+)*(?:def|"
    r"class|"
    r"object|trait|enum)[ \t]+(\w+)"
)
_DART = _pattern(
    r"(?:abstract[ \t]+)?(?:class|mixin|enum|"
    r"extension)[ \t]+(\w+)",
    r"(?!return|if|for|while|switch|else|"
    r"await\b)(?:[\w<>?,]+[ \t]+)+(\w+)[ \t]*\([^;\n]*\)[ \t]*(?:async[ \t]*)?(?:\{|=>)",
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
