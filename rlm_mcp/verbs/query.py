"""What a search query asks for: a typed set ("which commands failed"), a phrase, a pattern, or plain words. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedQuery:
    """A question for a set of Facts."""

    kind: str
    """A FactKind."""
    statuses: tuple[str, ...] = ()
    """Only these; empty for all."""
    current_only: bool = False
    """Only what still holds (open errors, open todos, tests failing now)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query understood."""

    typed: tuple[TypedQuery, ...] = ()
    words: tuple[str, ...] = ()
    """What is left to search for: no stop words, and without the words that named the types."""
    is_plain_question: bool = False
    """Typed, and nothing is left."""


_STOP = frozenset(
    """a an and any all also am are as at be been being but by can could current currently did do does doing done each
    else ever every few for from get give given gave gone had has have he her here him his how i if in into is it its
    just last latest left let like list me more most much my new no nor not now of off on once one only or other our
    out over own per please really recent recently s said say says session shall she should show since so some still
    such t tell than that the their them then there these they thing things this those to too under until up us user
    users very was we were what whats when where which while who whom why will with without would yet you your yours
    so far earlier before already during throughout anything everything something happened whole first""".split()
)

_VERBS_OF_ASKING = frozenset("show list tell give find recall summarize summarise name enumerate remind".split())

_OPEN = r"(?:open|remaining|pending|unfinished|outstanding|left|incomplete|unresolved|still|current|now|todo|next)"


def _rule(pattern: str, *queries: TypedQuery) -> tuple[re.Pattern[str], tuple[TypedQuery, ...]]:
    return re.compile(pattern, re.IGNORECASE), queries


_FAILED_COMMANDS = TypedQuery(kind="command", statuses=("failed",))
_COMMANDS = TypedQuery(kind="command")
_CONSTRAINTS = TypedQuery(kind="constraint")
_FORBIDDEN = TypedQuery(kind="constraint", statuses=("forbid",))
_CORRECTIONS = TypedQuery(kind="correction")
_TODOS = TypedQuery(kind="todo")
_OPEN_TODOS = TypedQuery(kind="todo", statuses=("pending", "in_progress"), current_only=True)
_DONE_TODOS = TypedQuery(kind="todo", statuses=("completed",), current_only=True)
_FAILING = TypedQuery(kind="failing_test", current_only=True)
_EVER_FAILING = TypedQuery(kind="failing_test")
_TESTS = TypedQuery(kind="test")
_SYMBOLS = TypedQuery(kind="symbol")
_EDITS = TypedQuery(kind="edit")

# In this order; what a rule consumed is gone for the next.
_RULES = (
    _rule(r"\b(?:pull[ -]?requests?|prs?|merge[ -]?requests?)\b(?:\W+(?:were |was )?(?:made|opened|created|merged|pushed|submitted))?", TypedQuery(kind="pull_request")),
    _rule(r"\b(?:git )?(?:commits?|committed)\b(?:\W+(?:were |was )?(?:made|created|pushed))?", TypedQuery(kind="commit")),
    _rule(r"\b(?:failing|failed|broken|red) (?:unit |integration )?tests?\b|\btests? (?:cases? )?(?:that |which |are |were |have |is |still |currently |now )*(?:fail(?:s|ed|ing)?|broke|broken|red)\b|\btest failures?\b", _FAILING, _EVER_FAILING, TypedQuery(kind="test", statuses=("failed",))),
    _rule(r"\btests?\b\W*(?:results?|outcomes?|status|runs?|summary|state|counts?|suites?|pass(?:es|ed|ing)?|say)?|\bpassing tests?\b|\b(?:results?|outcomes?) of (?:the )?tests?\b", _TESTS, _FAILING),
    _rule(r"\b(?:commands?|shell|bash|scripts?)\b[^.?]*?\b(?:fail(?:s|ed|ing)?|error(?:s|ed)?|non-?zero|unsuccessful(?:ly)?|crash(?:ed)?|broke)\b|\bfail(?:ed|ing) (?:shell |bash )?commands?\b|\bcommands? with errors?\b", _FAILED_COMMANDS),
    _rule(r"\b(?:commands?|shell|bash)\b(?:\W+(?:lines?|calls?|history|were|was|have|been|did|you|i|we|the|model|agent|assistant))*(?:\W+(?:run|ran|executed?|used|issued|invoked|outcomes?|exit|codes?|succeeded|and|their|with|results?|status(?:es)?))*|\b(?:what|which) (?:was|were|did \w+) (?:run|execute[d]?)\b|\b(?:ran|executed)\b", _COMMANDS),
    _rule(r"\b(?:functions?|class(?:es)?|types?|methods?|symbols?|interfaces?|structs?|definitions?|components?)\b(?:\W+(?:and|or|functions?|class(?:es)?|types?|methods?|were|was|have|been|newly|did))*(?:\W+(?:added|defined|created|introduced|implemented|written|new|wrote|add|you|i|we))*|\bnew (?:functions?|class(?:es)?|types?|methods?)\b", _SYMBOLS),
    _rule(r"\b(?:files?|paths?|documents?|modules?)\b(?:\W+(?:that|which|were|was|have|has|been|did|do|you|i|we|the|model|agent|assistant))*\W+(?:read|opened|viewed|seen|looked at|look at|inspected|examined|see|shown|consulted|loaded)\b|\b(?:read|opened|viewed) files?\b|\bfiles? reads?\b|\bwhat (?:did \w+|was|were|has been) (?:read|looked at)\b", TypedQuery(kind="read")),
    _rule(r"\b(?:files?|paths?)\b(?:\W+(?:that|which|were|was|have|has|been|did|do|you|i|we|the|model|agent|assistant))*\W+created\b|\b(?:new|created) files?\b", TypedQuery(kind="edit", statuses=("create",))),
    _rule(r"\b(?:files?|paths?)\b(?:\W+(?:that|which|were|was|have|has|been|did|do|you|i|we|the|model|agent|assistant))*\W+(?:deleted|removed)\b|\bdeleted files?\b", TypedQuery(kind="edit", statuses=("delete",))),
    _rule(r"\b(?:files?|paths?|code|documents?|modules?)\b(?:\W+(?:that|which|were|was|have|has|been|did|do|you|i|we|the|model|agent|assistant))*\W+(?:edit(?:s|ed)?|chang(?:e|es|ed)|modif(?:y|ied)|writ(?:e|ten)|wrote|touch(?:ed)?|updated?|altered)\b|\b(?:edited|changed|modified|touched|updated|written) (?:files?|paths?)\b|\b(?:file )?edits?(?: made)?\b|\b(?:file|code) changes?\b|\bwhat (?:was|were|has been|did \w+) (?:changed?|edit(?:ed)?|modif(?:ied|y)|touch(?:ed)?)\b|\bchanges made\b", _EDITS),
    _rule(r"\bfiles?\b(?=\W*$)", _EDITS, TypedQuery(kind="read")),
    _rule(r"\b(?:forbid(?:s|den)?|forbade|prohibit(?:s|ed)?|disallow(?:s|ed)?|not allowed|ban(?:s|ned)?|(?:must|should|may|can) ?not|never to|(?:not|n't) to do|off[- ]limits|don'?ts)\b(?:\W+do(?:ne)?\b)?", _FORBIDDEN, _CONSTRAINTS),
    _rule(r"\b(?:constraints?|rules?|requirements?|preferences?|restrictions?|guidelines?|conventions?|standing instructions?|instructions?)\b(?:\W+(?:did|the|user|users|given|set|gave|stated|apply|from))*|\b(?:what|how) (?:must|should) (?:i|we|you|the model|be)\b|\b(?:user|users) (?:require[sd]?|insist(?:s|ed)?|demand(?:s|ed)?|want(?:s|ed)?|prefer(?:s|red)?)\b|\brequired?\b(?=.*\buser)|\b(?:did|does) the user (?:require|insist|demand|want|prefer)\b", _CONSTRAINTS),
    _rule(r"\b(?:correct(?:s|ed|ion|ions)?|complain(?:s|ed|ts?)?|objected|objections?|pushed back|disagreed|mistakes?|misunderstood|got wrong|did wrong|was wrong)\b(?:\W+(?:did|the|user|users|make|made|about))*", _CORRECTIONS),
    _rule(r"\b(?:decisions?|decided?|chose(?:n)?|choices?|chosen|trade-?offs?|root cause|settled on|conclusions?|rationale)\b(?:\W+(?:were|was|been|have|made|taken|to do))*", TypedQuery(kind="decision")),
    _rule(rf"\b{_OPEN}\W+(?:todos?|to-dos?|tasks?|items?|steps?|work)\b|\b(?:todos?|to-dos?|tasks?|steps?|work)\b\W+(?:\w+\W+){{0,2}}{_OPEN}(?:\W+(?:to do|to be done|open|undone))?\b|\bwhat(?:'s| is| remains| still)* (?:left|remaining|next|to be done|to do|remains)(?: to (?:do|be done))?\b|\bnext steps?\b|\bnot (?:yet )?(?:done|finished)\b", _OPEN_TODOS),
    _rule(r"\b(?:completed|finished|done|closed) (?:todos?|tasks?|items?|steps?)\b|\b(?:todos?|tasks?|steps?)\b\W+(?:\w+\W+){0,2}(?:completed|finished|done)\b", _DONE_TODOS),
    _rule(r"\b(?:todos?|to-dos?|todo list|task list|checklist)\b(?:\W+(?:state|status|items?|list))*", _TODOS),
    _rule(r"\b(?:the )?plans?\b(?:\W+(?:proposed|accepted|made|agreed))*", TypedQuery(kind="plan")),
    _rule(r"\b(?:sub-?agents?|delegated|agent tasks?|agents)\b(?:\W+(?:tasks?|results?|did|do|run|ran|find|found|were|was|launched|and|report(?:ed)?))*", TypedQuery(kind="task")),
    _rule(r"\b(?:questions?)\b(?:\W+(?:were|was|put|to|the|user|asked|answered|open|and|answers?|model|ask|did))*|\banswers?\b(?:\W+(?:did|the|user|give|gave|given))*|\bwhat did (?:the user|they|he|she) answer\b|\bwhat did (?:i|you|the model|the assistant|we) ask\b", TypedQuery(kind="question")),
    _rule(r"\b(?:errors?|exceptions?|tracebacks?|stack traces?|failures?|went wrong|go wrong|going wrong|problems?|error messages?|error lines?|crash(?:es|ed)?|what failed)\b(?:\W+(?:occurred|happened|seen|were|was|appeared|came|up|open|lines?|messages?|did))*", TypedQuery(kind="error")),
    _rule(r"\b(?:values?|identifiers?|urls?|links?|numbers?|ids?|versions?|ports?|addresses|literals?|constants?|parameters?)\b(?:\W+(?:and|or|identifiers?|values?|names?|urls?|numbers?|did|the|user|users|give|gave|given|provided?|mention(?:ed)?|specif(?:y|ied)|stated?|supplied))*", TypedQuery(kind="value")),
    _rule(r"\b(?:lookups?|searches|greps?|web searches|searched for|grepped)\b(?:\W+(?:made|done|run))*", TypedQuery(kind="lookup")),
    _rule(r"\b(?:prompts?|asks|requests?|user messages?|messages?)\b(?:\W+(?:by|from|of|the|user|users|made|given))*|\bwhat (?:did|has|does) (?:the user|they|he|she|i) (?:ask(?:ed)?|say|said|request(?:ed)?|wants?|type)(?: for)?\b|\b(?:the )?(?:user'?s? )?(?:last|latest|first|original) (?:ask|request|message|prompt|task|goal)\b|\bwhat is the (?:task|goal)\b|\bthe task\b", TypedQuery(kind="prompt")),
)  # fmt: skip

_WORD = re.compile(r"[^\W_]+(?:[_.\-/#][^\W_]+)*|#\d+")
_MAX_TYPED_RESIDUE = 6


def understand(query: str) -> Question:
    """What ``query`` asks for. Words of a type are only taken as such in something that reads like a question for it:
    short, or opened by a question word."""
    rest = query
    typed: list[TypedQuery] = []
    for pattern, queries in _RULES:
        replaced = pattern.sub(" ", rest)
        if replaced != rest:
            typed += [q for q in queries if q not in typed]
            rest = replaced
    words = content_words(rest)
    if not typed:
        return Question(words=tuple(content_words(query)))
    if words and not (_asks(query) and len(words) <= _MAX_TYPED_RESIDUE):
        return Question(words=tuple(content_words(query)), typed=tuple(typed) if _asks(query) else ())
    return Question(typed=tuple(typed), words=tuple(words), is_plain_question=not words)


def _asks(query: str) -> bool:
    first = re.match(r"\W*(\w+)", query)
    opener = first[1].lower() if first else ""
    return (
        opener in {"which", "what", "whats", "how", "any", "all", "were", "was", "did", "who", "when", "where", "why"}
        or opener in _VERBS_OF_ASKING
        or query.rstrip().endswith("?")
    )


def content_words(text: str) -> list[str]:
    """The words worth searching for, in order, each once; all words if every one is a stop word."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    return [word for word in words if word not in _STOP and word not in _VERBS_OF_ASKING]
