"""What a Cell that Monty runs sees beside the session: as ``inside.seen``, in Monty's subset of Python."""

from typing import Any

from rlm_mcp.sandbox.monty.inside.asking import Host
from rlm_mcp.sandbox.monty.inside.docs import Docs
from rlm_mcp.sandbox.monty.inside.found import displayed, is_ours, kind_of, shortened
from rlm_mcp.sandbox.monty.inside.models import Failed, Models
from rlm_mcp.sandbox.monty.inside.repo import Repo
from rlm_mcp.sandbox.monty.inside.session import Session

SHOW_CHARS = 4_000
MANY_VARIABLES = 10_000
TAUGHT = {
    "context": "The session's whole text, a str.",
    "read": """\
read(ref)
    The exact text of a Ref, whole: "e12", "e12:0-400", "t3", "c5" (a Cell's output), "d1f2e3d4c" (a document).""",
    "show": """\
show(*values, limit=4000)
    Print values, each cut to limit characters: head, what was left out, tail.""",
    "help": """\
help(*topics)
    What something is: help(session), help(repo), help(docs). Without anything: what there is.""",
    "FINAL": """\
FINAL(value, quotes=())
    End the Cell with this value as the answer; quotes: texts that prove it, word for word.""",
    "FINAL_VAR": """\
FINAL_VAR(name)
    End the Cell with the value of the variable of that name as the answer.""",
    "reset": """\
reset()
    End the Cell and throw all variables away.""",
    "llm_query": """\
llm_query(prompt, model="", system="", max_tokens=2048, schema=None)
    Ask a sub-LM once: its answer as text; with a JSON schema as a checked value. Raises RuntimeError.""",
    "llm_query_batched": """\
llm_query_batched(prompts, model="", system="", max_tokens=2048, schema=None)
    Ask a sub-LM many prompts at once: answers in order; a Failed in the place of one that did not come. .failed and
    .came (number -> why, or answer) tell them apart.""",
    "llm_map": """\
llm_map(items, prompt, schema=None, fallback=..., model="", system="", max_tokens=2048)
    Ask the same of every item, each exactly once: prompt holds {item} (and {index}, if it matters). Results in order,
    with .coverage; what cannot be mended becomes fallback, or a Failed.""",
    "rlm_query": """\
rlm_query(question, context=None)
    Ask a child Run with a REPL of its own over the same store; context (str or list) is its context. The answer has
    .answer (str(x) is the same), .refs and .quotes.""",
    "rlm_query_batched": """\
rlm_query_batched(asked)
    Ask many child Runs: questions, or (question, context) pairs; answers in order, or a Failed.""",
    "Failed": """\
Failed
    What stands in the place of an answer that did not come; isinstance(x, Failed) tells it. .partial: what was cut.""",
    "SubLMFailed": """\
SubLMFailed
    What llm_query and rlm_query raise: a RuntimeError here.""",
    "print": "As Python's.",
    "len": "As Python's.",
}


OVERVIEW = """\
A REPL in Monty, a subset of Python; variables stay from Cell to Cell, also over compactions and restarts.
  session    the whole past: .turns .events .facts(kind) .search(q) .grep(re) .text, session["t3"], session["e12"]
  repo       the repository: .files(glob) .read(path) .grep(re, glob) .diff(since)
  docs       what the tool load brought in: docs[name].text
  context    the session's whole text, a str
  read(ref)  exact text of a Ref        show(x)   a value, cut
  llm_query(prompt), llm_query_batched(prompts), llm_map(items, "... {item}", schema=...)   ask other models
  rlm_query(question, context)   a child with a REPL of its own
  FINAL(x)   ends the Cell with x as the answer; FINAL_VAR("name") with a variable
  reset()    throws all variables away
help(session), help(repo), help(docs) tell more. What is not as in Python, because no Jail can be had on this system:
  no class inheritance, properties, yield, del, match on classes; generator expressions are lists
  modules: re json math collections datetime itertools functools csv hashlib base64 random time bisect copy decimal
    dataclasses typing tomllib unicodedata, and no other
  re: linear and literal as usual, but no VERBOSE, no function as a replacement in sub, no bytes
  slices by Ref or time are session.between("t3", "t9"); objects are always true: ask len(answer)
  calls that ask the host (search, facts, read, repo...) cannot be made inside map, filter, sorted(key=), __repr__
  a Cell that runs into its time limit, or beyond its storage, is undone: variables are as they were before it
  no network, processes, threads or writing; files are those of the repository alone"""


class Given:
    """All that the host gives, by name; and what the host asks of the namespace."""

    def __init__(self, call: Any, end: Any, of_name: Any) -> None:
        self._host = Host(call)
        self._end = end
        self._of_name = of_name
        self._printed = self._lost = self._most_printed = 0
        self.session = Session(self._host, is_own=True)
        self.repo = Repo(self._host, "")
        self.docs = Docs(self._host)
        self.names: dict[str, Any] = {
            "session": self.session,
            "repo": self.repo,
            "docs": self.docs,
            "context": "",
            "read": self.read,
            "show": self.show,
            "help": self.help,
            "FINAL": self.final,
            "FINAL_VAR": self.final_var,
            "reset": self.reset,
            "print": self.print,
            "len": self.len,
        }
        self._models = Models(self._host)
        self.names["llm_query"] = self._models.llm_query
        self.names["llm_query_batched"] = self._models.llm_query_batched
        self.names["llm_map"] = self._models.llm_map
        self.names["rlm_query"] = self._models.rlm_query
        self.names["rlm_query_batched"] = self._models.rlm_query_batched
        self.names["Failed"] = Failed
        self.names["SubLMFailed"] = RuntimeError

    def at(self, now: "dict[str, Any]") -> None:
        """Make all as it is now: before every Cell."""
        self._printed = self._lost = 0
        self._most_printed = now["output_bytes"]
        wanted, most_bytes = now["wanted"], now["most_bytes"]
        self.repo.root = now["repo"]
        if now["session"]:
            self.session.at(now["session"], wanted, most_bytes)
        if "earlier" in wanted:
            self._earlier(now["session"].get("earlier", []), wanted, most_bytes)
        if "docs" in wanted:
            self.docs.at(now["code"], most_bytes)

    def _earlier(self, rows: "list[Any]", wanted: "list[str]", most_bytes: int) -> None:
        known = self.session.earlier
        by_key = {session.key: session for session in known}
        found = []
        for row in rows:
            session = by_key.get(row["key"]) or Session(self._host, is_own=False)
            session.at(row, wanted, most_bytes)
            found.append(session)
        self.session.earlier = found

    def scope(self, current: Any) -> Any:
        """What context stands for now, unless a Cell has made the name its own."""
        if current is not None and current is not self.names["context"]:
            return current
        if self.session.given is None:
            self.session.check()
            self.names["context"] = self.session.text
        elif self.names["context"] == "":
            given = self.session.given
            raws = [self._host.bytes_from(0, "context", {"part": part}) for part in range(given["parts"])]
            texts = [raw.decode("utf-8", "replace") for raw in raws]
            self.names["context"] = texts if given["is_list"] else texts[0]
        return self.names["context"]

    def shed(self) -> None:
        """Let go of what the host can give again, so that it is not saved."""
        self.session.shed()
        self.session.earlier = []
        self.docs.shed()

    def told(self, variables: "dict[str, Any]") -> "dict[str, Any]":
        """What Cells have made: rows of name and what it is; and how many bytes were not printed."""
        rows = []
        for name in variables:
            value = variables[name]
            is_ours = name in self.names and self.names[name] is value
            if not name.startswith("_") and not is_ours and type(value).__name__ != "module":
                rows.append((name[:100], kind_of(value)))
        return {"variables": rows[-MANY_VARIABLES:], "lost": self._lost}

    def shown(self, value: Any) -> None:
        """The last expression's value."""
        if value is not None:
            self.print(displayed(value))

    def print(self, *values: Any, sep: Any = " ", end: Any = "\n", file: Any = None, flush: bool = False) -> None:
        """As Python's, up to what is kept of a Cell's output."""
        text = (" " if sep is None else sep).join([str(value) for value in values]) + ("\n" if end is None else end)
        room = max(0, self._most_printed - self._printed)
        raw = text.encode()
        self._printed += len(raw)
        if len(raw) <= room:
            print(text, end="")
            return
        print(raw[:room].decode("utf-8", "ignore"), end="")
        self._lost += len(raw) - room
        raise RuntimeError(
            f"OutputTooLong: the Cell printed more than {self._most_printed:,} bytes; "
            "put it into a variable and show a part"
        )

    def len(self, value: Any) -> int:
        """As Python's, and of what is given."""
        try:
            return len(value)
        except TypeError:
            if not is_ours(value) or not hasattr(value, "__len__"):
                raise
            return int(value.__len__())

    def final(self, value: Any, quotes: Any = ()) -> None:
        """End the Cell with this value as the answer; quotes: texts that prove it, word for word."""
        if value is None:
            raise TypeError("FINAL(None) is no answer; give a text or a value")
        proofs = [str(quote) for quote in quotes]
        if proofs:
            self._host.ask("quotes", {"quotes": proofs})
        self._end("final", value if isinstance(value, str) else displayed(value))

    def final_var(self, name: Any) -> None:
        """End the Cell with the value of the variable of that name as the answer."""
        if not isinstance(name, str) or not name.isidentifier():
            raise NameError(f"FINAL_VAR: there is no variable {name!r}")
        try:
            value = self._of_name(name)
        except NameError as error:
            raise NameError(f"FINAL_VAR: there is no variable {name!r}") from error
        self.final(value)

    def reset(self) -> None:
        """End the Cell and throw all variables away."""
        self._end("reset", "")

    def read(self, ref: Any) -> Any:
        """The exact text of a Ref, whole."""
        return self._host.text("read", {"ref": str(ref)})

    def show(self, *values: Any, limit: int = SHOW_CHARS) -> None:
        """Print values, each cut to limit characters: head, what was left out, tail."""
        for value in values:
            self.print(shortened(value if isinstance(value, str) else displayed(value), limit))

    def help(self, *topics: Any) -> None:
        """What something is."""
        if not topics:
            self.print(OVERVIEW)
        for topic in topics:
            self.print(self._told_of(topic))

    def _told_of(self, topic: Any) -> str:
        if is_ours(topic):
            return str(topic.__doc__).replace("\n    ", "\n").strip()
        for name in self.names:
            if self.names[name] is topic:
                return TAUGHT[name]
        return f"{type(topic).__name__}; help knows what is given alone: help() tells what there is"
