"""What the product is measured against: the built-in summary with grep, and plain lists of the last facts."""

from __future__ import annotations

import re

from tests.bench.careful_text import content_words
from tests.bench.steps import Step

CHARS_PER_TOKEN = 4


def log_lines(steps: list[Step]) -> list[str]:
    """The transcript as lines of text, as somebody with grep would have it."""
    found: list[str] = []
    for step in steps:
        text = step.text
        if step.kind == "call":
            text = "\n".join([step.tool, *(f"{name}: {value}" for name, value in step.args.items()), step.output])
        found += [line for line in text.splitlines() if line.strip()]
    return found


def grep(lines: list[str], question: str, tokens: int = 1_000) -> str:
    """The first ``tokens`` of the lines that hold any word of the question."""
    words = [re.escape(word) for word in content_words(question)]
    if not words:
        return ""
    pattern = re.compile("|".join(words), re.IGNORECASE)
    found: list[str] = []
    size = 0
    for line in lines:
        if pattern.search(line):
            found.append(line[:400])
            size += len(found[-1]) + 1
            if size >= tokens * CHARS_PER_TOKEN:
                break
    return "\n".join(found)[: tokens * CHARS_PER_TOKEN]


_ERROR = re.compile(r"\berror\b|\bfailed\b|\bFAIL|Exception|Traceback", re.IGNORECASE)


def plain_lists(steps: list[Step], tokens: int = 4_000) -> str:
    """Prompts, files, commands, errors and the task list by the simplest rules, newest first, in turn until full."""
    lists: dict[str, list[str]] = {
        "prompts": [], "files edited": [], "files read": [], "commands": [], "errors": [], "todos": []
    }  # fmt: skip
    for step in reversed(steps):
        if step.kind == "prompt":
            lists["prompts"].append(step.text.replace("\n", " ")[:300])
        if step.kind != "call":
            continue
        path = str(step.args.get("file_path") or "")
        if path:
            lists["files read" if step.tool == "Read" else "files edited"].append(path)
        command = str(step.args.get("command") or step.args.get("cmd") or "")
        if command:
            lists["commands"].append(f"{command[:100]} -> {'failed' if step.failed else 'ok'}".replace("\n", " "))
            lists["errors"] += [line.strip()[:160] for line in step.output.splitlines() if _ERROR.search(line)][:2]
        if not lists["todos"] and isinstance(step.args.get("todos"), list):
            lists["todos"] = [f"[{t.get('status')}] {t.get('content')}" for t in step.args["todos"]]
    queues = {name: list(dict.fromkeys(lines)) for name, lines in lists.items()}
    chosen: dict[str, list[str]] = {name: [] for name in queues}
    size = 0
    while size < tokens * CHARS_PER_TOKEN and any(queues.values()):
        for name, queue in queues.items():
            if queue and size < tokens * CHARS_PER_TOKEN:
                chosen[name].append(f"- {queue.pop(0)}")
                size += len(chosen[name][-1]) + 1
    return "\n".join(line for name, lines in chosen.items() for line in (f"## {name}", *lines))
