"""The careful reader: what somebody who read a whole transcript up to a cut would write down.

Independent of the product's own extractor, from the raw records alone. Each :class:`Noted` says what must be present
in a text for it to count as recalled (see ``recalled.py``), where it stood, and whether it still held at the cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from tests.bench.careful_text import (
    READERS,
    SEARCHERS,
    bare_command,
    counts_line,
    definitions,
    error_lines,
    failing_tests,
    files_shown,
    files_written,
    fold,
    is_test_run,
    programs_of,
    prose,
    relative,
    sentences,
    tests_failed,
    values_given,
)
from tests.bench.steps import Step

LISTED = ("edit", "read", "command", "test", "error", "constraint", "correction", "decision", "plan", "todo",
          "last_ask", "value")  # fmt: skip
DEEPER = ("symbol", "commit", "pull_request", "failing_test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """One fact as the careful reader noted it."""

    kind: str
    needle: str
    """What must be found; how is a matter of the kind."""
    turn: int
    at: int
    """Byte offset of the record that told it."""
    status: str = ""
    """``ok`` / ``failed`` of commands and tests; the state of a todo; the second needle of others."""
    superseded: bool = False
    """No longer so at the cut: not asked for, but must not be shown as current."""


@dataclass(slots=True)
class Notes:
    """All that was noted of a transcript up to a cut."""

    facts: list[Noted] = field(default_factory=list)
    prompts: dict[int, str] = field(default_factory=dict)
    roots: list[str] = field(default_factory=list)

    def current(self) -> list[Noted]:
        """The facts that still hold."""
        return [fact for fact in self.facts if not fact.superseded]


def take_notes(steps: list[Step]) -> Notes:
    """Everything a careful reader lists of these Steps."""
    notes = Notes(roots=_roots(steps))
    notes.prompts = {s.turn: s.text for s in steps if s.kind == "prompt"}
    for listing in (_files, _commands, _tests, _errors, _users_words, _decisions, _plans, _todos, _symbols, _commits):
        notes.facts += listing(steps, notes.roots)
    return notes


def _roots(steps: list[Step]) -> list[str]:
    roots = {s.cwd for s in steps if s.cwd}
    for step in steps:
        if found := re.match(r"\s*cd\s+(?:\"([^\"]+)\"|(\S+))\s*&&", _shell(step)):
            roots.add(found[1] or found[2])
    return sorted(root for root in roots if root.startswith("/") or root[1:2] == ":")


def _shell(step: Step) -> str:
    """The shell command of a call; '' for other tools."""
    if step.kind != "call" or step.tool not in ("Bash", "exec_command", "shell", "shell_command", "local_shell"):
        return ""
    given = step.args.get("command") or step.args.get("cmd") or ""
    if isinstance(given, list):
        return str(given[-1]) if given else ""
    return str(given)


def _path_of(step: Step) -> str:
    return str(step.args.get("file_path") or step.args.get("notebook_path") or "") if step.kind == "call" else ""


_PATCHED = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$|^\*\*\* Move to: (.+)$", re.MULTILINE)
_EDITORS = ("Edit", "Write", "MultiEdit", "NotebookEdit")


def _patch(step: Step) -> str:
    """The text of an ``apply_patch`` call, also where it went through the shell."""
    text = str(step.args.get("input") or "") if step.tool == "apply_patch" else _shell(step)
    return text if "*** Begin Patch" in text else ""


def edited_paths(step: Step) -> list[str]:
    """Paths that this call changed."""
    if step.kind != "call" or not step.done or step.failed or step.refused:
        return []
    if step.tool in _EDITORS:
        return [_path_of(step)]
    if patch := _patch(step):
        return [(a or b).strip() for _, a, b in _PATCHED.findall(patch)]
    return files_written(_shell(step))


def read_paths(step: Step) -> list[str]:
    """Paths whose content this call showed."""
    if step.kind != "call" or not step.done or step.failed or step.refused:
        return []
    if step.tool in ("Read", "NotebookRead"):
        return [_path_of(step)]
    return files_shown(_shell(step))


def _files(steps: list[Step], roots: list[str]) -> list[Noted]:
    edits: dict[str, Noted] = {}
    reads: dict[str, Noted] = {}
    for step in steps:
        for path in edited_paths(step):
            short = relative(path, roots)
            edits[short] = Noted(kind="edit", needle=short, turn=step.turn, at=step.at)
        for path in read_paths(step):
            short = relative(path, roots)
            reads[short] = Noted(kind="read", needle=short, turn=step.turn, at=step.at)
    return [*edits.values(), *(fact for path, fact in reads.items() if path not in edits)]


def _outcome(step: Step) -> str:
    """``ok``, ``failed``, or '' for a search that found nothing (exit code 1: neither)."""
    shell = _shell(step)
    if step.failed and len(step.output.strip()) < 40 and programs_of(shell) and programs_of(shell) <= SEARCHERS:
        return ""
    return "failed" if step.failed else "ok"


def _commands(steps: list[Step], roots: list[str]) -> list[Noted]:
    """Each command once, with the outcome of its last run; an earlier run with another outcome is superseded."""
    runs: dict[str, list[Noted]] = {}
    for step in steps:
        shell = _shell(step)
        if not shell or not step.done or step.refused or _patch(step):
            continue
        bare = bare_command(shell)
        fact = Noted(kind="command", needle=bare, turn=step.turn, at=step.at, status=_outcome(step))
        earlier = runs.setdefault(bare[:120], [])
        if earlier and earlier[-1].status == fact.status:
            earlier.pop()
        earlier.append(fact)
    return _latest(runs)


def _latest(runs: dict[str, list[Noted]]) -> list[Noted]:
    found: list[Noted] = []
    for facts in runs.values():
        found += [replace(fact, superseded=True) for fact in facts[:-1]]
        found.append(facts[-1])
    return found


def _tests(steps: list[Step], roots: list[str]) -> list[Noted]:
    """Latest outcome of each test command; names of tests still failing. A sub-agent's own counts count too."""
    runs: dict[str, list[Noted]] = {}
    failing: dict[str, Noted] = {}
    for step in steps:
        shell = _shell(step)
        if not shell or not step.done or step.refused or not is_test_run(shell):
            continue
        bare = bare_command(shell)
        key = re.sub(r"\s*2>&1|\s*\|\s*(?:tail|head).*", "", bare)
        failed = tests_failed(step.output, step.failed)
        status = "failed" if failed else "passed"
        fact = Noted(
            kind="test", needle=f"{bare}\n{counts_line(step.output)}", turn=step.turn, at=step.at, status=status
        )
        runs.setdefault(key, []).append(fact)
        now = failing_tests(step.output)
        for name, known in failing.items():
            passes = f"PASS: {name}" in step.output or f"{name} PASSED" in step.output
            if name not in now and (passes or known.status == key or (not failed and _covers(key, known.status))):
                failing[name] = replace(known, superseded=True)
        for name in now:
            failing[name] = Noted(kind="failing_test", needle=name, turn=step.turn, at=step.at, status=key)
    outcomes: list[Noted] = []
    for facts in runs.values():
        stale = [f for f in facts[:-1] if f.status != facts[-1].status]
        outcomes += [replace(fact, superseded=True) for fact in stale] + [facts[-1]]
    return [*outcomes, *failing.values()]


def _covers(wide: str, narrow: str) -> bool:
    return wide.split()[:3] == narrow.split()[:3] and len(wide) <= len(narrow)


_COMPLAINT = re.compile(r"\w[\w.-]{0,20}: |\w+:\d+: |(?:error|fatal|Error|panic)\b|[\w.]+Error: ")
"""What a program says of itself, not what it shows of a file."""


def _errors(steps: list[Step], roots: list[str]) -> list[Noted]:
    """Error lines verbatim; superseded once the same command or an edit of the same file succeeded later."""
    found: dict[str, tuple[Noted, str]] = {}
    for step in steps:
        if step.kind != "call" or not step.done or step.refused:
            continue
        shell = _shell(step)
        subject = bare_command(shell) if shell else f"{step.tool} {_path_of(step)}"
        if not step.failed:
            found = {
                line: (replace(fact, superseded=True) if about == subject and not fact.superseded else fact, about)
                for line, (fact, about) in found.items()
            }
        quiet = step.tool not in ("Bash", "exec_command", "shell", "shell_command", "write_stdin")
        if not step.failed and (
            is_test_run(shell)
            or quiet
            or programs_of(shell) & (READERS | SEARCHERS | {"git"})
            or not programs_of(shell)
        ):
            continue
        if step.failed and programs_of(shell) <= SEARCHERS and programs_of(shell) and len(step.output) < 40:
            continue
        output = re.sub(r"</?tool_use_error>", "", step.output)
        if not shell:
            output = output.strip().split("\n", 1)[0]
        if programs_of(shell) & (READERS | SEARCHERS):
            output = "\n".join(line for line in output.splitlines() if _COMPLAINT.match(line))
        for line in error_lines(output, step.failed):
            found[fold(line)] = (Noted(kind="error", needle=fold(line), turn=step.turn, at=step.at), subject)
    return [fact for fact, _ in found.values()]


_CONSTRAINT = re.compile(
    r"\b(?:must(?:n't| not)?|never|always|don'?t|do not|only|should(?:n't| not)|avoid|make sure|ensure|prefer"
    r"|without|instead of|required?|not allowed|no need to|has to|i want|we want|i do want|i (?:would )?need"
    r"|keep (?:it|the|all)|(?:can be|are) stale|pattern was|use \S+ not)\b"
    r"|\b(?:we|it|they|you|this|that|there) should\b",
    re.IGNORECASE,
)
_FIRM = re.compile(
    r"\b(?:must(?:n't| not)?|never|always|don'?t|do not|should(?:n't| not)|avoid|make sure|not allowed)\b"
    r"(?! have| need)",
    re.IGNORECASE,
)
_NO_RULE = re.compile(r"\bif i want\b|\bnot sure\b|\bi don'?t (?:know|think|understand)\b|\?$", re.IGNORECASE)
_CORRECTION = re.compile(
    r"\b(?:wrong|incorrect|that'?s not|this is not|not what|i (?:mean|meant|said|told|thou?ght|thougth)|actually"
    r"|but that'?s|you(?:'ve| have)? (?:marked|missed|forgot|broke|removed|deleted|ignored|didn'?t|skipped)"
    r"|(?:still|again) (?:fail|broken|hang|not|doesn'?t)\w*|doesn'?t (?:work|seem|look)|does not work|the problem"
    r"|hangs?|crash(?:es|ed)?|why did you|revert|undo|shouldn'?t have|should have|not sure if|basically it doesn'?t"
    r"|no longer supported|accidental)\b|^no[,. ]|^stop\b|^not\b|\binstead\b",
    re.IGNORECASE,
)


def _users_words(steps: list[Step], roots: list[str]) -> list[Noted]:
    """The last ask; constraints, corrections and values of every prompt; what the user said when refusing a call."""
    prompts = [s for s in steps if s.kind == "prompt"]
    after_interrupt = {b.turn for a, b in pairwise(steps) if a.kind == "interrupt" and b.kind == "prompt"}
    found: list[Noted] = []
    for number, step in enumerate(prompts):
        long = len(step.text) > 1_500
        if step.turn in after_interrupt and not long:
            found.append(Noted(kind="correction", needle=fold(step.text), turn=step.turn, at=step.at))
            continue
        for sentence in sentences(step.text):
            if sentence.startswith("|") or sentence.endswith(":") or len(sentence) <= 12:
                continue
            if number and not long and _CORRECTION.search(sentence):
                found.append(Noted(kind="correction", needle=sentence, turn=step.turn, at=step.at))
            elif (_FIRM if long else _CONSTRAINT).search(sentence) and not _NO_RULE.search(sentence):
                found.append(Noted(kind="constraint", needle=sentence, turn=step.turn, at=step.at))
    for step in prompts:
        found += [Noted(kind="value", needle=v, turn=step.turn, at=step.at) for v in values_given(step.text)]
    for step in prompts[-1:]:
        found.append(Noted(kind="last_ask", needle=fold(step.text), turn=step.turn, at=step.at))
    for step in steps:
        if step.refused and (said := re.search(r"the user said:\s*(.+)", step.output, re.DOTALL)):
            text = fold(said[1].split("\n\nNote:")[0])
            found.append(Noted(kind="correction", needle=text, turn=step.turn, at=step.at))
    return _each_once(found)


def _each_once(facts: list[Noted]) -> list[Noted]:
    return list({(fact.kind, fact.needle): fact for fact in facts}.values())


_DECISION = re.compile(
    r"\b(?:i(?:'ve| have)? (?:decided|chose|opted)|decid(?:ed|ing) to|(?:i'll|i will|we'll|let'?s|going to|i'm)"
    r" (?:use|using|go(?:ing)? with|keep|switch|skip|remove|treat|avoid|fall back|need to fall back|leave|replace"
    r"|reclassify|just (?:disable|remove|use))|instead of|rather than"
    r"|(?:the )?(?:simpl(?:er|est)|best|better|right|cleanest)"
    r" (?:solution|fix|approach|way|option|choice|change) (?:is|would|here)|fall(?:ing)? back to"
    r"|should be (?:enough|treated)|to avoid (?:the|a|un)|so (?:i'll|i will|we)"
    r"|i need to fall back|is (?:enough|sufficient) (?:for|because|since))\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|so that|instead|rather|avoid|as it|this way|which means|decid|chose|opted)\b"
    r"|[-\u2013\u2014:]",
    re.IGNORECASE,
)


_NO_CHOICE = re.compile(
    r"[|\u2705\u274c*]|now let me"
    r"|i['\u2019]?(?:m| am) (?:now )?(?:looking|checking|reading|going to (?:check|look)|letting)",
    re.IGNORECASE,
)
"""Tables, tallies, and what is being done rather than chosen."""


def _decisions(steps: list[Step], roots: list[str]) -> list[Noted]:
    """Sentences in which the model chose one way over another, and said so."""
    found: list[Noted] = []
    for step in steps:
        if step.kind != "reply":
            continue
        for sentence in sentences(step.text):
            firm = _DECISION.search(sentence) and _REASON.search(sentence)
            if firm and 30 < len(sentence) < 500 and not _NO_CHOICE.match(sentence) and sentence[-1] != "?":
                found.append(Noted(kind="decision", needle=sentence.rstrip(":"), turn=step.turn, at=step.at))
    return _each_once(found)


def plan_steps(text: str) -> list[str]:
    """The headings and list items of a plan: at most ten, the title first."""
    lines = [line.rstrip() for line in prose(text).splitlines() if line.strip()]
    headed = [line for line in lines if re.match(r"#{1,4} |\d+[.)] ", line)]
    marked = headed if len(headed) > 3 else [line for line in lines if re.match(r"#{1,4} |\d+[.)] |[-*] ", line)]
    bare = [re.sub(r"^(?:#{1,4}|[-*])\s+|[*`]", "", line).strip() for line in [*lines[:1], *marked]]
    return [line for line in dict.fromkeys(bare) if len(line.split()) > 2 or line == bare[0]][:10]


def _plans(steps: list[Step], roots: list[str]) -> list[Noted]:
    """Title and steps of the plan that holds; those of a plan it replaced are superseded."""
    plans: list[tuple[Step, list[str]]] = []
    for step in steps:
        if step.kind == "call" and step.tool == "ExitPlanMode" and step.args.get("plan"):
            plans.append((step, plan_steps(str(step.args["plan"]))))
        elif step.kind == "prompt" and re.match(r"(?:please )?implement the following plan", step.text, re.IGNORECASE):
            plans.append((step, plan_steps(step.text.split(":", 1)[-1])))
    latest = plans[-1][1] if plans else []
    found: list[Noted] = []
    for step, lines in plans:
        old = lines is not latest
        kept = [line for line in lines if not old or line not in latest]
        found += [Noted(kind="plan", needle=line, turn=step.turn, at=step.at, superseded=old) for line in kept]
    return found


def _todos(steps: list[Step], roots: list[str]) -> list[Noted]:
    """The task list as it stands, each entry with its state; earlier states are superseded."""
    entries: dict[str, list[Noted]] = {}
    for step in steps:
        if step.kind != "call" or not step.done or step.failed:
            continue
        for key, text, state in _todo_states(step):
            earlier = entries.setdefault(key, [])
            named = text or (earlier[-1].needle if earlier else "")
            if named and state == "deleted":
                entries[key] = [replace(fact, superseded=True) for fact in earlier]
            elif named and not (earlier and earlier[-1].status == state and earlier[-1].needle == named):
                earlier.append(Noted(kind="todo", needle=named, turn=step.turn, at=step.at, status=state))
        if step.tool in ("TodoWrite", "update_plan"):
            listed = {key for key, _, _ in _todo_states(step)}
            for key in entries.keys() - listed:
                entries[key] = [replace(fact, superseded=True) for fact in entries[key]]
    found: list[Noted] = []
    for facts in entries.values():
        stale = [replace(f, superseded=True) for f in facts[:-1] if f.status != facts[-1].status]
        found += [*stale, *facts[-1:]]
    return found


def _todo_states(step: Step) -> list[tuple[str, str, str]]:
    """(key, text, state) of each entry that a call wrote."""
    args = step.args
    if step.tool == "TodoWrite" and isinstance(args.get("todos"), list):
        return [(_text(t, "content"), _text(t, "content"), _text(t, "status")) for t in args["todos"]]
    if step.tool == "update_plan" and isinstance(args.get("plan"), list):
        return [(_text(t, "step"), _text(t, "step"), _text(t, "status")) for t in args["plan"]]
    if step.tool == "TaskCreate" and (number := re.search(r"#(\d+)", step.output)):
        return [(number[1], _text(args, "subject"), "pending")]
    if step.tool == "TaskUpdate" and args.get("status"):
        return [(_text(args, "taskId"), _text(args, "subject"), _text(args, "status"))]
    return []


def _text(entry: Any, name: str) -> str:
    return str(entry.get(name) or "") if isinstance(entry, dict) else ""


def _symbols(steps: list[Step], roots: list[str]) -> list[Noted]:
    """Functions and types that edits added; superseded where a later edit took them out again."""
    found: dict[str, Noted] = {}
    for step in steps:
        for path, old, new in changes(step):
            short = relative(path, roots)
            before, after = definitions(path, old), definitions(path, new)
            whole = step.tool == "Write"
            for key, fact in found.items():
                gone = fact.status == short and fact.needle not in after and (whole or fact.needle in before)
                if gone:
                    found[key] = replace(fact, superseded=True)
            for name in after:
                if name not in before:
                    fact = Noted(kind="symbol", needle=name, turn=step.turn, at=step.at, status=short)
                    found[f"{short} {name}"] = fact
    return list(found.values())


def changes(step: Step) -> list[tuple[str, str, str]]:
    """(path, old text, new text) of each change that a call made."""
    if not edited_paths(step):
        return []
    args = step.args
    if step.tool == "MultiEdit":
        edits = [e for e in args.get("edits") or [] if isinstance(e, dict)]
        return [(_path_of(step), _text(e, "old_string"), _text(e, "new_string")) for e in edits]
    if step.tool in _EDITORS:
        return [(_path_of(step), _text(args, "old_string"), _text(args, "new_string") or _text(args, "content"))]
    found: list[tuple[str, str, str]] = []
    for part in re.split(r"^\*\*\* (?=(?:Add|Update|Delete) File: )", _patch(step), flags=re.MULTILINE)[1:]:
        path, _, body = part.partition("\n")
        lines = body.splitlines()
        old = "\n".join(line[1:] for line in lines if line.startswith("-"))
        new = "\n".join(line[1:] for line in lines if line.startswith("+"))
        found.append((path.split(": ", 1)[1].strip(), old, new))
    return found


_COMMITTED = re.compile(r"^\[([^\]\n]+?)(?: \(root-commit\))? ([0-9a-f]{7,12})\] (.+)$", re.MULTILINE)
_PULL = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/pull/(\d+)\b")


def _commits(steps: list[Step], roots: list[str]) -> list[Noted]:
    """Commits (amended and reset ones superseded) and pull requests that the session made."""
    commits: list[Noted] = []
    pulls: dict[str, Noted] = {}
    for step in steps:
        shell = _shell(step)
        if not shell or not step.done or step.refused:
            continue
        if reset := re.search(r"git reset --(?:soft|mixed|hard) HEAD~(\d+)", shell):
            commits = _undo(commits, int(reset[1]))
        for _, commit, subject in _COMMITTED.findall(step.output) if "git" in shell else ():
            if "--amend" in shell:
                commits = _undo(commits, 1)
            commits.append(Noted(kind="commit", needle=commit, turn=step.turn, at=step.at, status=subject))
        if re.search(r"\bgh pr create\b|\bpr submit\b", shell):
            for number in _PULL.findall(step.output):
                pulls[number] = Noted(kind="pull_request", needle=number, turn=step.turn, at=step.at)
    return [*commits, *pulls.values()]


def _undo(commits: list[Noted], count: int) -> list[Noted]:
    held = [number for number, fact in enumerate(commits) if not fact.superseded][-count:]
    return [replace(fact, superseded=True) if number in held else fact for number, fact in enumerate(commits)]


Listing = Callable[[list[Step], list[str]], list[Noted]]
