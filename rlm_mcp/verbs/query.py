"""What a search query asks for: a typed set ("which commands failed") or plain words. Pure.

A typed question is known by its words, not by its grammar: each Topic has names (one must be there), companions (words
that go with it and mean nothing more) and variants (words that narrow it). What is left over is searched for as words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedQuery:
    """A question for a set of Facts."""

    kind: str
    """A FactKind."""
    statuses: tuple[str, ...] = ()
    """Only these; empty for all."""
    but_not: tuple[str, ...] = ()
    """Not these."""
    current_only: bool = False
    """Only what still holds (todos still open, tests failing now)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query understood."""

    typed: tuple[TypedQuery, ...] = ()
    words: tuple[str, ...] = ()
    """What is left to search for: no stop words, none of the words that named the types."""
    is_plain_question: bool = False
    """Typed, and nothing is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Topic:
    """A kind of Fact as people ask for it."""

    names: frozenset[str]
    queries: tuple[TypedQuery, ...]
    companions: frozenset[str] = frozenset()
    variants: tuple[tuple[frozenset[str], tuple[TypedQuery, ...]], ...] = ()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Phrases (regexes) that mean one word of the topics below.
_PHRASES = (
    (r"pull[ -]?requests?|merge[ -]?requests?|prs?", "pullrequest"),
    (r"sub[ -]?agents?|agent tasks?", "subagent"),
    (r"(?:went|goes?|going|gone) wrong|what failed|stack ?traces?", "errors"),
    (r"looked at|look at", "looked"),
    (r"non[- ]zero", "nonzero"),
    (r"object(?:s|ed)? to|reject(?:s|ed)?|tell me to change|told me to change", "corrected"),
    (r"(?:you|model|assistant|claude|codex|i|we) (?:ask|asked)(?: the)?(?: user)?", "questions"),
    (
        r"(?:did|has|does) the user (?:give|given|mention|mentioned|provide|provided|specify|specified|supply)",
        "usergave",
    ),
    (r"the user (?:gave|mentioned|provided|specified|supplied)|given by the user", "usergave"),
    (r"user[- ](?:provided|given|supplied|specified)", "given"),
    (r"(?:must|should|may|can|could|shall|did|do|does)(?: not|n['\u2019]?t)", "forbidden"),
    (r"cannot|not allowed|never|off[ -]limits|not to do", "forbidden"),
    (r"(?:got|did|was|done|is) wrong|pushed back|push back", "corrected"),
    (r"settled on|root causes?|trade[ -]?offs?|go(?:ne)? with", "decided"),
    (r"to-dos?|to do (?:lists?|items?)|task lists?|check ?lists?|still to (?:do|be done)", "todo"),
    (r"left to (?:do|be done)|(?:is|was|are|work|tasks?|what|items?|steps?) left", "todo open"),
    (r"next steps?|not (?:yet )?(?:done|finished)|what remains|remaining (?:work|tasks?|steps?)", "todo open"),
    (r"(?:is|are|what) (?:next|missing|remains|remaining|outstanding|unfinished)", "todo open"),
    (
        r"(?:last|latest|first|original|current|initial|main) (?:asks?|requests?|messages?|prompts?|tasks?|goals?)",
        "asked",
    ),
    (r"(?:is|was) the (?:task|goal|request|ask)", "asked"),
)

_COMMANDS = TypedQuery(kind="command")
_FAILED_COMMANDS = TypedQuery(kind="command", statuses=("failed",))
_CONSTRAINTS = TypedQuery(kind="constraint")
_FORBIDDEN = TypedQuery(kind="constraint", statuses=("forbid",))
_REQUIRED = TypedQuery(kind="constraint", statuses=("require",))
_CORRECTIONS = TypedQuery(kind="correction")
_EDITS = TypedQuery(kind="edit")
_READS = TypedQuery(kind="read")
_TESTS = TypedQuery(kind="test")
_FAILED_TESTS = TypedQuery(kind="test", statuses=("failed",))
_FAILING_NOW = TypedQuery(kind="failing_test", current_only=True)
_EVER_FAILING = TypedQuery(kind="failing_test")
_TODOS = TypedQuery(kind="todo")
_OPEN_TODOS = TypedQuery(kind="todo", statuses=("pending", "in_progress"), current_only=True)
_DONE_TODOS = TypedQuery(kind="todo", statuses=("completed",), current_only=True)
_ERRORS = TypedQuery(kind="error")

_FAIL = _words(
    "fail fails failed failing failure failures error errors errored nonzero unsuccessful crash crashed broke"
)
_EDITED = _words(
    "edit edits edited editing change changes changed modify modified modifications write written wrote touch touched "
    "update updated altered rewritten diff diffs worked"
)
_CREATED = _words("create created creates creation new")
_DELETED = _words("delete deleted remove removed deletions")
_READ = _words("read reads reading open opened view viewed seen see looked inspected examined consulted loaded shown")
_DONE = _words("done completed complete finished closed ticked")
_OPEN = _words("open remaining pending unfinished outstanding left incomplete unresolved undone")
_MADE = _words("made make makes done given gave give taken take exist existed happened occurred recorded stated")

# In this order: what a topic took is gone for the next.
_TOPICS = (
    _Topic(
        names=_words("subagent delegated agents"),
        companions=_words(
            "task tasks result results do did run ran find found launched report reported launched spawned"
        )
        | _MADE,
        queries=(TypedQuery(kind="task"),),
    ),
    _Topic(
        names=_words("pullrequest"),
        companions=_words("opened created merged pushed submitted create open number numbers url urls link links")
        | _MADE,
        queries=(TypedQuery(kind="pull_request", but_not=("pushed",)),),
    ),
    _Topic(
        names=_words("commit commits committed"),
        companions=_words("git created create pushed hash hashes message messages") | _MADE,
        queries=(TypedQuery(kind="commit"),),
    ),
    _Topic(
        names=_words("push pushes pushed"),
        companions=_words("git branch branches remote") | _MADE,
        queries=(TypedQuery(kind="pull_request", statuses=("pushed",)),),
    ),
    _Topic(
        names=_words("test tests"),
        companions=_words(
            "result results outcome outcomes status run runs ran summary state counts count suite suites case cases "
            "unit "
            "integration pass passed passes passing say names name number numbers"
        ),
        queries=(_TESTS, _FAILING_NOW),
        variants=((_FAIL | _words("red broken"), (_FAILING_NOW, _FAILED_TESTS, _EVER_FAILING)),),
    ),
    _Topic(
        names=_words("command commands shell bash ran executed"),
        companions=_words(
            "run runs used issued invoked execute outcome outcomes exit code codes succeeded succeed result results "
            "status statuses history returned terminal lines calls script scripts duration durations long took"
        ),
        queries=(_COMMANDS,),
        variants=((_FAIL, (_FAILED_COMMANDS,)),),
    ),
    _Topic(
        names=_words(
            "function functions class classes type types method methods symbol symbols interface interfaces struct "
            "structs definitions component components"
        ),
        companions=_words(
            "added add adds defined created introduced implemented write written new newly wrote name names"
        ),
        queries=(TypedQuery(kind="symbol"),),
    ),
    _Topic(
        names=_words(
            "forbid forbids forbidden forbade prohibit prohibits prohibited disallow disallowed ban banned avoid"
        ),
        companions=_words(
            "do doing done allowed rule rules things constraints ask asked tell told want wanted say said"
        ),
        queries=(_FORBIDDEN, _CONSTRAINTS),
    ),
    _Topic(
        names=_words(
            "constraint constraints rule rules requirement requirements preference preferences restriction "
            "restrictions "
            "guideline guidelines convention conventions instruction instructions require required requires insist "
            "insisted demand demanded want wants wanted prefer prefers preferred must should always"
        ),
        companions=_words("usergave standing set apply follow followed state do be done ask asked say said") | _MADE,
        queries=(_CONSTRAINTS,),
        variants=((_words("require required requires must insist insisted demanded"), (_REQUIRED, _CONSTRAINTS)),),
    ),
    _Topic(
        names=_words(
            "correct corrects corrected correction corrections complain complained complaints objected objections "
            "disagreed mistake mistakes misunderstood"
        ),
        companions=_words("usergave point pointed out about say said") | _MADE,
        queries=(_CORRECTIONS,),
    ),
    _Topic(
        names=_words(
            "usergave value values identifier identifiers url urls link links number numbers id ids version versions "
            "port "
            "ports address addresses literal literals constant constants parameter parameters"
        ),
        companions=_words(
            "mention mentioned provide provided specify specified supplied name names path paths file files use used"
        )
        | _MADE,
        queries=(TypedQuery(kind="value"),),
    ),
    _Topic(
        names=_words("file files path paths code document documents module modules"),
        companions=_MADE,
        queries=(_EDITS, _READS),
        variants=(
            (_CREATED, (TypedQuery(kind="edit", statuses=("create",)),)),
            (_DELETED, (TypedQuery(kind="edit", statuses=("delete",)),)),
            (_EDITED, (_EDITS,)),
            (_READ, (_READS,)),
        ),
    ),
    _Topic(names=_words("edits edited modified changed changes touched"), companions=_MADE, queries=(_EDITS,)),
    _Topic(
        names=_words(
            "decision decisions decide decided decides chose chosen choose choice choices conclusion conclusions "
            "rationale"
        ),
        companions=_words(
            "been reason reasons do approach approaches key design major main important technical architectural"
        )
        | _MADE,
        queries=(TypedQuery(kind="decision"),),
    ),
    _Topic(
        names=_words("todo todos"),
        companions=_words("list lists state status item items task tasks step steps work do be to") | _MADE,
        queries=(_TODOS,),
        variants=((_OPEN, (_OPEN_TODOS,)), (_DONE, (_DONE_TODOS,))),
    ),
    _Topic(
        names=_words("task tasks"),
        companions=_words("list item items state status"),
        queries=(_TODOS, TypedQuery(kind="task")),
        variants=((_OPEN, (_OPEN_TODOS,)), (_DONE, (_DONE_TODOS,))),
    ),
    _Topic(
        names=_words("plan plans planned"),
        companions=_words("proposed accepted agreed current latest steps implementation") | _MADE,
        queries=(TypedQuery(kind="plan"),),
    ),
    _Topic(
        names=_words("question questions answer answers answered"),
        companions=_words("put asked ask open model user") | _MADE,
        queries=(TypedQuery(kind="question"),),
    ),
    _Topic(
        names=_words(
            "error errors exception exceptions traceback tracebacks failure failures problem problems crash crashes "
            "failed"
        ),
        companions=_words(
            "message messages line lines occurred happened raised thrown reported seen appeared came up open "
            "unresolved hit encountered verbatim any"
        )
        | _MADE,
        queries=(_ERRORS,),
    ),
    _Topic(
        names=_words("lookup lookups searches greps searched grepped"),
        companions=_words("web run") | _MADE,
        queries=(TypedQuery(kind="lookup"),),
    ),
    _Topic(names=_words("read opened viewed looked"), queries=(_READS,)),
    _Topic(names=_words("run"), companions=_words("been"), queries=(_COMMANDS,)),
    _Topic(names=_words("created"), queries=(TypedQuery(kind="edit", statuses=("create",)),)),
    _Topic(names=_words("passing passed"), queries=(_TESTS,)),
    _Topic(
        names=_words("prompt prompts ask asks asked request requests requested message messages say said type typed"),
        companions=_words("user all") | _MADE,
        queries=(TypedQuery(kind="prompt"),),
    ),
)

_STOP = _words(
    "a an and any all also am are as at be been being but by can could current currently did do does doing done "
    "each else ever every few for from get give given gave gone had has have he her here him his how i if in into "
    "is it its just last latest left let like me more most much my new no nor not now of off on once one only or "
    "other our out over own per please really recent recently s said say says session shall she should show since "
    "so some still such t tell than that the their them then there these they thing things this those to too "
    "under until up us user users very was we were what whats when where which while who whom whose why will with "
    "within without would yet you your yours far earlier before already during throughout anything everything "
    "something happened whole first model assistant agent claude codex conversation list find recall summarize "
    "summarise name enumerate remind both made make about exited ended there many source terminal "
)
_OPENERS = _words(
    "which what whats how any all were was did who when where why show list tell give find recall summarize "
    "summarise name enumerate remind "
)
_WORD = re.compile(r"[^\W_]+(?:[_.\-/#][^\W_]+)*|#\d+")
_MAX_RESIDUE = 6
MAX_QUERY_CHARS = 10_000


@cache
def _phrases() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compiled when first asked for: hooks import this module and never need them."""
    return tuple((re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), word) for pattern, word in _PHRASES)


def understand(query: str) -> Question:
    """What ``query`` asks for.

    Topic words count only in what reads like a question for them: nothing else is left, or it is opened by a question
    word and little is left. A very long text is none.
    """
    if len(query) > MAX_QUERY_CHARS:
        return Question(words=tuple(content_words(query)))
    folded = query
    for pattern, word in _phrases():
        folded = pattern.sub(f" {word} ", folded)
    words = [word.lower() for word in _WORD.findall(folded)]
    left = list(dict.fromkeys(words))
    typed: list[TypedQuery] = []
    for topic in _TOPICS:
        if not topic.names.intersection(left):
            continue
        taken, queries = topic.names | topic.companions, topic.queries
        for marks, narrowed in topic.variants:
            if marks.intersection(left):
                taken, queries = taken | marks, narrowed
                break
        typed += [found for found in queries if found not in typed]
        left = [word for word in left if word not in taken]
    residue = [word for word in left if word not in _STOP]
    if not typed or (residue and not (_asks(query) and len(residue) <= _MAX_RESIDUE)):
        return Question(words=tuple(content_words(query)))
    return Question(typed=tuple(typed), words=tuple(residue), is_plain_question=not residue)


def _asks(query: str) -> bool:
    opener = re.match(r"\W*(\w+)", query)
    return (opener is not None and opener[1].lower() in _OPENERS) or query.rstrip().endswith("?")


def content_words(text: str) -> list[str]:
    """The words worth searching for, in order, each once."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text))
    return [word for word in words if word not in _STOP]
