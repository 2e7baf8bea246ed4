"""Transcripts made for measuring: a seeded generator of Claude Code sessions, and real ones repeated to any size.

python -m tests.bench.generate TARGET --megabytes 12 [--seed 7] [--from FILE ...]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.steps import Json, read_records

_AREAS = ("billing", "parser", "gateway", "session", "ledger", "catalog", "report", "queue", "profile", "invoice")
_NOUNS = ("Cache", "Reader", "Writer", "Client", "Policy", "Index", "Token", "Batch", "Router", "Limit", "Store")
_VERBS = ("load", "merge", "split", "flush", "render", "verify", "encode", "rotate", "resolve", "compact", "replay")
_SPEECH = """
the reader keeps one cursor per source and moves it forward only after every record was stored so a crash between two
writes costs nothing but work done twice while callers that ask for the same page wait for the first answer and nobody
sends a second request which halves the load on the slow path and leaves the fast one alone
"""
_WORDS = _SPEECH.split()
_CWD = "/home/dev/acme"
_ASKS = (
    "Add {verb} support to the {area} {noun}. {rule}",
    "The {area} tests are red since {version}, please find out why and fix {path}. {rule}",
    "Move the retry logic out of {path} into its own {noun} class; the limit is {number} ms. {rule}",
    "Can you speed up {verb} in {path}? It takes {number} seconds on ticket #{number}.",
    "Write the missing tests for {path}, see https://tracker.acme.dev/{area}/{number}",
)
_RULES = (
    "Never touch the public API of {noun}{other}.",
    "Don't add new dependencies for {area}{number}.",
    "You must keep Python 3.{minor} working in {area}.",
    "Only change files below src/{area}.",
    "Always run the {area} tests before you say that {verb} is done.",
)
_CORRECTIONS = (
    "No, that's not what I meant: {verb} has to happen before the {noun} is closed.",
    "You forgot the {noun} in {path}, that's wrong for ticket #{number}.",
    "Actually the {area} timeout should be {number} ms, not a constant in {noun}.",
)
_CHOICES = (
    "I'll use a {noun} instead of a plain dict in {area}, because {verb} must stay ordered.",
    "The simplest fix is to {verb} the {noun} before line {number}, since {area} reads it twice.",
    "I decided to keep {verb}_{area} synchronous rather than add a worker, so that order {number} holds.",
)


class Generator:
    """Writes one session, record by record; the same seed gives the same bytes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.session = self._uuid()
        self.clock = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.parent: str | None = None
        self.turn = 0
        self.commits = 0

    def records(self) -> Iterator[Json]:
        """Endless: Turn after Turn."""
        while True:
            self.turn += 1
            yield from self._turn()

    def _turn(self) -> Iterator[Json]:
        area, noun = self.random.choice(_AREAS), self.random.choice(_NOUNS) + str(self.turn)
        path = f"src/{area}/{self.random.choice(_VERBS)}_{self.turn}.py"
        values = {
            "area": area, "noun": noun, "path": path, "verb": self.random.choice(_VERBS), "other": self.turn,
            "number": self.random.randrange(100, 9_000), "minor": self.random.randrange(9, 14),
            "version": f"v{self.random.randrange(1, 9)}.{self.turn}.{self.random.randrange(9)}",
        }  # fmt: skip
        wordings = _CORRECTIONS if self.turn > 2 and self.random.random() < 0.3 else _ASKS
        rule = self.random.choice(_RULES).format(**values) if self.random.random() < 0.4 else ""
        yield self._user(self.random.choice(wordings).format(rule=rule, **values).strip())
        yield self._says(f"I'll look at {path} first. " + self._prose(30))
        steps = ["Read tests", "Read module", "Change it", "Run tests"]
        todos = [f"{step} for {noun} in {area}" for step in steps]
        yield from self._todos(todos, 0)
        for _ in range(self.random.randrange(1, 4)):
            other = f"src/{area}/{self.random.choice(_VERBS)}_{self.random.randrange(1, self.turn + 1)}.py"
            yield from self._read(other)
        yield from self._read(path)
        yield from self._todos(todos, 2)
        yield self._says(self.random.choice(_CHOICES).format(**values))
        yield from self._edit(path, noun)
        yield from self._tests(area, noun)
        yield from self._todos(todos, 4)
        if self.random.random() < 0.3:
            yield from self._commit(path, noun)
        yield self._says(f"{noun} now works in {area}. " + self._prose(60))

    def _prose(self, words: int) -> str:
        return " ".join(self.random.choice(_WORDS) for _ in range(words)).capitalize() + "."

    def _code(self, noun: str, lines: int) -> list[str]:
        body = [f"class {noun}:", f'    """{self._prose(8)}"""', ""]
        while len(body) < lines:
            verb, name = self.random.choice(_VERBS), self.random.choice(_WORDS)
            body += [f"    def {verb}_{name}_{len(body)}(self, {name}: int) -> int:", f"        # {self._prose(7)}"]
            body += [f"        return self.{name}.get({name}, {self.random.randrange(999)})", ""]
        return body

    def _read(self, path: str) -> Iterator[Json]:
        lines = self._code(self.random.choice(_NOUNS), self.random.randrange(40, 220))
        text = "\n".join(f"{number:6}\u2192{line}" for number, line in enumerate(lines, 1))
        file = {"filePath": f"{_CWD}/{path}", "content": "\n".join(lines), "numLines": len(lines), "startLine": 1}
        yield from self._tool("Read", {"file_path": f"{_CWD}/{path}"}, text, {"type": "text", "file": file})

    def _edit(self, path: str, noun: str) -> Iterator[Json]:
        old = f"    return {noun.lower()}\n"
        new = "\n".join(
            [*self._code(noun, self.random.randrange(8, 30)), f"def {noun.lower()}_entry() -> None:", "    ..."]
        )
        args = {"file_path": f"{_CWD}/{path}", "old_string": old, "new_string": new, "replace_all": False}
        shown = f"The file {_CWD}/{path} has been updated successfully."
        result = {"filePath": args["file_path"], "oldString": old, "newString": new, "structuredPatch": []}
        yield from self._tool("Edit", args, shown, result)

    def _tests(self, area: str, noun: str) -> Iterator[Json]:
        command = f"python -m pytest tests/{area} -q -k {noun}"
        if self.random.random() < 0.4:
            line = f"AssertionError: {noun} gave {self.random.randrange(99)} for {area}"
            name = f"tests/{area}/test_{noun.lower()}.py::test_{self.random.choice(_VERBS)}_order"
            output = "\n".join(
                [f"tests/{area}/test_{noun.lower()}.py ..F", "", f"E   {line}", f"FAILED {name} - {line}",
                 f"1 failed, {self.random.randrange(3, 90)} passed in 0.{self.random.randrange(10, 99)}s"]
            )  # fmt: skip
            yield from self._bash(command, output, failed=True)
            yield self._says(f"The {area} order is wrong in {noun}; I'll sort before the split.")
            yield from self._edit(f"src/{area}/order_{self.turn}.py", f"{noun}Order")
        if self.turn % 7 or self.random.random() < 0.5:
            yield from self._bash(
                command, f"{self.random.randrange(4, 90)} passed in 0.{self.random.randrange(10, 99)}s"
            )

    def _commit(self, path: str, noun: str) -> Iterator[Json]:
        self.commits += 1
        digest = f"{self.random.getrandbits(28):07x}"
        subject = f"Give {noun} a steady order"
        output = f"[main {digest}] {subject}\n 1 file changed, 12 insertions(+), 3 deletions(-)"
        yield from self._bash(f'git add {path} && git commit -m "{subject}"', output)

    def _bash(self, command: str, output: str, *, failed: bool = False) -> Iterator[Json]:
        shown = f"Exit code 1\n{output}" if failed else output
        result: object = {"stdout": output, "stderr": "", "interrupted": False, "isImage": False}
        args = {"command": command, "description": "Run a command"}
        yield from self._tool("Bash", args, shown, f"Error: {shown}" if failed else result, failed=failed)

    def _todos(self, texts: list[str], done: int) -> Iterator[Json]:
        states = ["completed" if n < done else "in_progress" if n == done else "pending" for n in range(len(texts))]
        todos = [{"content": t, "status": s, "activeForm": t} for t, s in zip(texts, states, strict=True)]
        shown = "Todos have been modified successfully."
        yield from self._tool("TodoWrite", {"todos": todos}, shown, {"oldTodos": [], "newTodos": todos})

    def _tool(self, name: str, args: Json, shown: str, result: object, *, failed: bool = False) -> Iterator[Json]:
        call = "toolu_" + self._hex(24)
        yield self._assistant([{"type": "tool_use", "id": call, "name": name, "input": args}])
        block: Json = {"type": "tool_result", "tool_use_id": call, "content": shown}
        if failed:
            block["is_error"] = True
        yield self._row({"type": "user", "message": {"role": "user", "content": [block]}, "toolUseResult": result})

    def _says(self, text: str) -> Json:
        return self._assistant([{"type": "text", "text": text}])

    def _user(self, text: str) -> Json:
        return self._row({"type": "user", "message": {"role": "user", "content": text}})

    def _assistant(self, content: list[Json]) -> Json:
        usage = {"input_tokens": 4, "cache_read_input_tokens": 20_000 + self.turn * 900, "output_tokens": 200}
        message = {
            "id": "msg_" + self._hex(20), "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": content, "stop_reason": None, "usage": usage,
        }  # fmt: skip
        return self._row({"type": "assistant", "message": message, "requestId": "req_" + self._hex(20)})

    def _row(self, body: Json) -> Json:
        self.clock += timedelta(seconds=self.random.randrange(1, 20))
        row = {
            "parentUuid": self.parent, "isSidechain": False, "userType": "external", "cwd": _CWD,
            "sessionId": self.session, "version": "2.1.330", "gitBranch": "main", **body,
            "uuid": self._uuid(), "timestamp": self.clock.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }  # fmt: skip
        self.parent = str(row["uuid"])
        return row

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"


def generate(target: Path, *, size_bytes: int, seed: int = 7) -> int:
    """Writes a generated session of at least ``size_bytes``; gives the bytes written."""
    return _write(target, Generator(seed).records(), size_bytes)


def repeat(sources: list[Path], target: Path, *, size_bytes: int, seed: int = 7) -> int:
    """Writes the Claude Code records of ``sources`` over and over as one session, with fresh ids; gives the bytes."""
    return _write(target, _fresh(sources, random.Random(seed)), size_bytes)


_IDS = re.compile(r"\b(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?:toolu|msg|req)_\w{8,40})\b")


def _fresh(sources: list[Path], chance: random.Random) -> Iterator[Json]:
    session = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    clock = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    records = [[r.body for r in read_records(path) if r.body is not None] for path in sources]
    while True:
        for bodies in records:
            renamed: dict[str, str] = {}
            rename = _renamer(renamed, chance)
            for body in bodies:
                fresh = json.loads(_IDS.sub(rename, json.dumps(body)))
                clock += timedelta(seconds=3)
                if "sessionId" in fresh:
                    fresh["sessionId"] = session
                if "timestamp" in fresh:
                    fresh["timestamp"] = clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                yield fresh


def _renamer(renamed: dict[str, str], chance: random.Random) -> Callable[[re.Match[str]], str]:
    def rename(found: re.Match[str]) -> str:
        old = found[0]
        if old not in renamed:
            fresh = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            prefix = re.match(r"(?:toolu|msg|req)_", old)
            renamed[old] = f"{prefix[0]}{fresh.replace('-', '')}" if prefix else fresh
        return renamed[old]

    return rename


def _write(target: Path, records: Iterator[Json], size_bytes: int) -> int:
    written = 0
    with target.open("w", encoding="utf-8") as out:
        for body in records:
            line = json.dumps(body, ensure_ascii=False) + "\n"
            out.write(line)
            written += len(line.encode())
            if written >= size_bytes:
                return written
    return written


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--megabytes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--from", dest="sources", nargs="*", type=Path, default=[], help="repeat these instead")
    args = parser.parse_args()
    size = int(args.megabytes * 1_000_000)
    if args.sources:
        repeat(args.sources, args.target, size_bytes=size, seed=args.seed)
    else:
        generate(args.target, size_bytes=size, seed=args.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
