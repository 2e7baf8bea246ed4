"""What the extractor remembers between Events: bounded, JSON-serialisable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from rlm_mcp.events import Event
from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.runs import RunKey

_T = TypeVar("_T")
_PATH = LazyPattern(r"(?:Read|Edit|Write|MultiEdit|NotebookEdit|NotebookRead|Update|LS) (\S[^\n]*)")
_PATH_BELOW = LazyPattern(r"\n(?:file_path|notebook_path|path|\*\*\* (?:Update|Add|Delete) File): (\S[^\n]*)")


@dataclass(slots=True)
class Memo:
    """Mutable; owned by one extractor."""

    home: str = ""
    """The first folder in which a command ran."""
    prompts: int = 0
    replies: int = 0
    questions: list[str] = field(default_factory=list)
    """Put to the user by the latest reply and not answered yet."""
    rhetorical: list[str] = field(default_factory=list)
    """Asked by a reply that then went on by itself."""
    refused: bool = False
    """The latest thing that happened is that the user refused a call or interrupted."""
    over: tuple[Closes, ...] = ()
    """What the prompt at hand takes back; empty between Events."""
    choices: dict[str, str] = field(default_factory=dict)
    """Number -> entry of the last list of the latest reply."""
    todos: dict[str, list[str]] = field(default_factory=dict)
    """Id -> [text, status]."""
    pending: dict[str, list[str]] = field(default_factory=dict)
    """Subject of each thing a reply named as left to do, where no todo tool is used -> its telling words."""
    tests: dict[str, RunKey] = field(default_factory=dict)
    """Subject of each current test outcome -> its run."""
    counted: dict[str, list[str]] = field(default_factory=dict)
    """Subject of each current test outcome -> [runner, how many tests it counted]."""
    noise: dict[str, list[str]] = field(default_factory=dict)
    """Error-shaped line -> subjects of successful commands that printed it."""
    lone: dict[str, str] = field(default_factory=dict)
    """Subject of open errors -> their only line, printed by a successful command."""
    cures: dict[str, str] = field(default_factory=dict)
    """Subject of open errors -> the tool whose success makes their cause go."""
    failing: dict[str, RunKey] = field(default_factory=dict)
    """Name of each failing test -> the run that said so."""
    errors: dict[str, RunKey] = field(default_factory=dict)
    """Subject of open errors -> the run that printed them."""
    rules: dict[str, list[str]] = field(default_factory=dict)
    """Subject of each standing constraint -> its telling words."""
    decided: dict[str, list[str]] = field(default_factory=dict)
    """Subject of each decision that can be taken back -> [prompt number, question it answers, "-" where it removes
    something, telling words ...]."""
    undone: tuple[int, int] = (-1, 0)
    """(number of the latest prompt that said to undo the last change, number of the prompt it undid)."""
    commits: list[str] = field(default_factory=list)
    """Hashes, newest last."""
    tasks: dict[str, str] = field(default_factory=dict)
    """Agent id -> subject."""
    calls: dict[str, str] = field(default_factory=dict)
    """Call id -> path it is about."""

    @classmethod
    def of(cls, state: Mapping[str, object]) -> Memo:
        """The memo that :meth:`to_json` printed; fields of an unexpected shape start empty."""
        memo = cls()
        memo.home = _text(state.get("home"))
        memo.prompts, memo.replies = _count(state.get("prompts")), _count(state.get("replies"))
        memo.questions, memo.rhetorical = _texts(state.get("questions")), _texts(state.get("rhetorical"))
        memo.commits = _texts(state.get("commits"))
        memo.todos = {k: v for k, v in _lists(state.get("todos")).items() if len(v) == 2}
        memo.rules = _lists(state.get("rules"))
        memo.refused = state.get("refused") is True
        memo.decided = {k: v for k, v in _lists(state.get("decided")).items() if len(v) >= 3}
        memo.undone = (_count(state.get("undone_at", -1)), _count(state.get("undone")))
        memo.counted = {k: v for k, v in _lists(state.get("counted")).items() if len(v) == 2 and v[1].isdigit()}
        memo.pending = _lists(state.get("pending"))
        memo.noise = _lists(state.get("noise"))
        memo.lone = {k: v for k, v in _mapping(state.get("lone")).items() if isinstance(v, str)}
        memo.cures = {k: v for k, v in _mapping(state.get("cures")).items() if isinstance(v, str)}
        for name in ("tests", "failing", "errors"):
            runs = {k: (v[0], tuple(v[1:])) for k, v in _lists(state.get(name)).items() if v}
            setattr(memo, name, runs)
        memo.tasks = {k: v for k, v in _mapping(state.get("tasks")).items() if isinstance(v, str)}
        memo.choices = {k: v for k, v in _mapping(state.get("choices")).items() if isinstance(v, str)}
        memo.calls = {k: v for k, v in _mapping(state.get("calls")).items() if isinstance(v, str)}
        return memo

    def to_json(self) -> dict[str, object]:
        """JSON-serialisable copy."""
        runs = {
            name: {key: [run[0], *run[1]] for key, run in getattr(self, name).items()}
            for name in ("tests", "failing", "errors")
        }
        return {
            "home": self.home,
            "prompts": self.prompts,
            "replies": self.replies,
            "questions": list(self.questions),
            "rhetorical": list(self.rhetorical),
            "choices": dict(self.choices),
            "todos": {key: list(value) for key, value in self.todos.items()},
            "rules": {key: list(value) for key, value in self.rules.items()},
            "refused": self.refused,
            "decided": {key: list(value) for key, value in self.decided.items()},
            "undone_at": self.undone[0],
            "undone": self.undone[1],
            "counted": {key: list(value) for key, value in self.counted.items()},
            "pending": {key: list(value) for key, value in self.pending.items()},
            "noise": {key: list(value) for key, value in self.noise.items()},
            "lone": dict(self.lone),
            "cures": dict(self.cures),
            "commits": list(self.commits),
            "tasks": dict(self.tasks),
            "calls": dict(self.calls),
            **runs,
        }

    def remember_call(self, event: Event) -> None:
        """A call: its path for errors of its result; a reply's question before it was not put to the user."""
        if not event.agent and self.questions:
            self.rhetorical = (self.rhetorical + self.questions)[-10:]
            self.questions = []
        if event.call_id:
            match = (
                _PATH.match(event.text) or _PATH_BELOW.search(event.text, 0, 2_000) if event.text[:1] != "$" else None
            )
            if match:
                self.calls[event.call_id] = match[1].strip()[:400]
                _bound(self.calls, 40)

    def forget_call(self, event: Event) -> str:
        """The path the call of this result is about; empty where unknown."""
        return self.calls.pop(event.call_id, "") if event.call_id else ""

    def with_rhetorical_closed(self, facts: list[Fact]) -> list[Fact]:
        """``facts``, the first of which also closes questions that no one was asked."""
        if not facts or not self.rhetorical:
            return facts
        closes = tuple(Closes(kind=FactKind.QUESTION, subject=question) for question in self.rhetorical)
        self.rhetorical = []
        return [replace(facts[0], closes=facts[0].closes + closes), *facts[1:]]

    def keep_todo(self, todo_id: str, text: str, status: str) -> None:
        """Remember a todo's state."""
        self.todos[todo_id] = [text, status]
        _bound(self.todos, 200)

    def keep_error(self, subject: str, run: RunKey, cure: str = "") -> None:
        """Remember that errors with this subject are open; ``cure``: the tool whose success ends them."""
        self.errors.pop(subject, None)
        self.errors[subject] = run
        _bound(self.errors, 100)
        self.cures.pop(subject, None)
        self.lone.pop(subject, None)
        if cure:
            self.cures[subject] = cure
            _bound(self.cures, 40)

    def settled_paths(self, *paths: str) -> list[str]:
        """Subjects of open errors about one of ``paths``, however much of its folder is named; closed by this."""
        gone: list[str] = []
        for path in paths:
            if path and self.errors:
                name = path[:400]
                gone += [s for s in self.errors if s == name or name.endswith(f"/{s}") or s.endswith(f"/{name}")]
        for subject in gone:
            self.errors.pop(subject, None)
        return list(dict.fromkeys(gone))

    def subject_of_task(self, agent: str, description: str) -> str:
        """One subject for a sub-agent's task, from its start to its end."""
        known = self.tasks.get(agent) if agent else None
        subject = known or (description or agent)[:400]
        if agent and known is None:
            self.tasks[agent] = subject
            _bound(self.tasks, 100)
        return subject

    def keep_rule(self, subject: str, words: Iterable[str]) -> None:
        """Remember a standing constraint."""
        self.rules.pop(subject, None)
        self.rules[subject] = sorted(words)[:24]
        _bound(self.rules, 80)


def _bound(mapping: dict[str, _T], limit: int) -> None:
    while len(mapping) > limit:
        del mapping[next(iter(mapping))]


def bound(mapping: dict[str, _T], limit: int) -> None:
    """Forget the oldest entries over ``limit``."""
    _bound(mapping, limit)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, object]:
    return {key: item for key, item in value.items() if isinstance(key, str)} if isinstance(value, dict) else {}


def _lists(value: object) -> dict[str, list[str]]:
    return {key: _texts(item) for key, item in _mapping(value).items() if isinstance(item, list)}
