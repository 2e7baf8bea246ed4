"""Is a line of a typed answer of the kind that was asked for? Judged from the transcript, by the reader's own rules."""

from __future__ import annotations

import re

from tests.bench.careful_reader import Notes, changes, edited_paths, read_paths
from tests.bench.careful_text import (
    bare_command,
    content_words,
    definitions,
    error_lines,
    fold,
    is_test_run,
    sentences,
    tests_failed,
)
from tests.bench.steps import Step

_USERS_RULE = re.compile(
    r"\b(?:must|never|always|don'?t|not|only|should|avoid|sure|ensure|prefer|without|instead|need|want|please|keep|use|no"
    r"|make|can you|actually|wrong|mean|but|problem|stop|stale|first|disable|fix|thou?gh?t)\b",
    re.IGNORECASE,
)
_CHOICE = re.compile(
    r"\b(?:i'?ll|i will|let'?s|let me|decid|cho(?:se|ose|ice)|instead|rather|because|since|so that|approach|use"
    r"|using|keep|should|need|better|best|simpl|avoid|fall|will|going)\w*\b",
    re.IGNORECASE,
)
_ERROR_SHAPE = re.compile(
    r"\b(?:error|fatal|exception|failed|failure|panic|cannot|not found|denied|no such)\b", re.IGNORECASE
)
_HEAD = re.compile(r"^[a-z][\w ,-]{2,40} \(\d+\): ")
_PICTURE = re.compile(r"\[image [^\]]*\]")
_COUNTED = re.compile(r"\b\d+ (?:tests? )?(?:passed|failed|pass|fail)\b|\btests? (?:passed|failed)\b")
_REF = re.compile(r"\s*[\[(<]?(?:[0-9a-f]{8}\.)?(?:e\d+(?::\d+-\d+)?|t\d+|log:\d+-\d+)[\])>]?")


class Judge:
    """Knows, for one transcript up to a cut, what counts as a line of each kind."""

    def __init__(self, steps: list[Step], notes: Notes, raw: str = "") -> None:
        """``raw``: the transcript's text up to the cut, for what sub-agents ran and read."""
        shown_elsewhere = re.findall(r'"(?:file_path|filePath)\W+([^"\\]+(?:\\\\[^"\\]+)*)', raw)
        calls = [s for s in steps if s.kind == "call" and s.done]
        shells = [(bare_command(_shell(s)), s) for s in calls if _shell(s)]
        removed = [word for c, _ in shells if re.search(r"\b(?:rm|mv)\b", c) for word in c.split() if "." in word]
        self.needles: dict[str, list[str]] = {
            "edit": _names([*(p for s in calls for p in edited_paths(s)), *removed]),
            "read": _names([*(p for s in calls for p in read_paths(s)), *shown_elsewhere]),
            "command": [_plain(c)[:40] for c, _ in shells],
            "command failed": [_plain(c)[:40] for c, s in shells if s.failed],
            "test": [_plain(c)[:40] for c, _ in shells if is_test_run(c)],
            "failing_test": [f.needle for f in notes.facts if f.kind == "failing_test"],
            "error": [_plain(line)[:60] for s in calls for line in error_lines(s.output, failed=s.failed, limit=500)],
            "todo": [_plain(f.needle)[:40] for f in notes.facts if f.kind == "todo"],
            "plan": [_plain(f.needle)[:40] for f in notes.facts if f.kind in ("plan", "todo")],
            "symbol": [n for s in calls for p, _, new in changes(s) for n in definitions(p, new)],
            "commit": [part for f in notes.facts if f.kind == "commit" for part in (f.needle, f.status[:40])],
            "pull_request": [f"pull/{f.needle}" for f in notes.facts if f.kind == "pull_request"],
            "value": [_plain(f.needle) for f in notes.facts if f.kind == "value"],
        }
        self.needles["test"] += [f.needle.partition("\n")[2][:40] for f in notes.facts if f.kind == "test"]
        self.needles["test"] += self.needles["failing_test"]
        self.raw = _plain(raw)
        self.failed_output = _plain(
            "\n".join(s.output for s in calls if s.failed or tests_failed(s.output, failed=False))
        )
        self.prompts = _plain("\n".join(notes.prompts.values()))
        said = [sentence for text in notes.prompts.values() for sentence in sentences(text)]
        refusals = [sentence for s in calls if s.refused for sentence in sentences(s.output)]
        self.users = [s for s in said + refusals if _USERS_RULE.search(s)]
        replies = [sentence for s in steps if s.kind == "reply" for sentence in sentences(s.text)]
        self.models = [s for s in replies if _CHOICE.search(s)]
        self.plans = _plain("\n".join(_plan_texts(steps)))

    def knows_any(self, kind: str) -> bool:
        """Whether there is anything of this kind at all."""
        if kind.startswith(("constraint", "correction")):
            return bool(self.users)
        if kind == "decision":
            return bool(self.models)
        if kind == "last_ask":
            return bool(self.prompts)
        return any(self.needles.get(kind if kind == "command failed" else kind.split(maxsplit=1)[0], ()))

    def of_kind(self, kind: str, line: str) -> bool:
        """Whether this line of an answer is of the kind asked for."""
        plain = _plain(line)
        bare = _HEAD.sub("", _plain(_PICTURE.sub("", _REF.sub(" ", line))).strip("-*\u2022 .\u2026"))
        match kind.split(maxsplit=1)[0]:
            case "constraint" | "correction":
                return _quotes(bare, self.users) or (len(bare) > 30 and bare[5:45] in self.prompts)
            case "decision":
                return _quotes(bare, self.models)
            case "last_ask":
                return any(bare[i : i + 25] in self.prompts for i in range(0, max(1, len(bare) - 24), 8))
            case "value":
                given = bare.split(" (in ")[0]
                return any(_has(plain, n) for n in self.needles["value"]) or given in self.prompts
            case "error":
                if any(n in plain for n in self.needles["error"] if len(n) > 12):
                    return True
                return bool(_ERROR_SHAPE.search(plain)) or (len(bare) > 20 and bare[5:45] in self.failed_output)
            case "plan":
                return any(n in plain for n in self.needles["plan"]) or (len(bare) > 12 and bare[:30] in self.plans)
            case "test" | "failing_test":
                return bool(_COUNTED.search(plain)) or any(_plain(n) in plain for n in self.needles["test"] if n)
            case "command" | "todo":
                needles = self.needles["todo" if kind.startswith("todo") else kind]
                by_agent = kind == "command" and len(bare) > 40 and bare[12:40] in self.raw
                return by_agent or any(n in plain for n in needles if n)
            case _:
                return any(_has(plain, _plain(n)) for n in self.needles[kind] if n)


def _shell(step: Step) -> str:
    given = step.args.get("command") or step.args.get("cmd") or ""
    return str(given[-1] if isinstance(given, list) and given else given) if step.tool != "apply_patch" else ""


def _names(paths: list[str]) -> list[str]:
    return sorted({path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] for path in paths if path})


def _plain(text: str) -> str:
    return fold(re.sub(r"[\"'`\\]", "", text))


def _has(text: str, needle: str) -> bool:
    at = text.find(needle)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(needle) : at + len(needle) + 1]
        if not (before.isalnum() and needle[:1].isalnum()) and not (after.isalnum() and needle[-1:].isalnum()):
            return True
        at = text.find(needle, at + 1)
    return False


def _quotes(line: str, known: list[str]) -> bool:
    words = set(content_words(line))
    for sentence in known:
        wanted = content_words(sentence)
        head = _plain(sentence)[:40]
        if head and head in line:
            return True
        if len(wanted) >= 3 and sum(word in words for word in wanted) >= 0.6 * len(wanted):
            return True
        if len(words) >= 4 and sum(word in wanted for word in words) >= 0.7 * len(words):
            return True
    return False


def _plan_texts(steps: list[Step]) -> list[str]:
    found = [str(s.args["plan"]) for s in steps if s.kind == "call" and isinstance(s.args.get("plan"), str)]
    return found + [s.text for s in steps if s.kind == "prompt" and "plan" in s.text[:60].lower()]
