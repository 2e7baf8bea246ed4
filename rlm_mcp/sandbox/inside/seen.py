"""What a Cell sees beside the session: ``repo``, ``docs``, ``context``, ``read``, ``show``, ``help``, the sub-LMs.

Their docstrings are what ``help`` shows to the model.
"""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from rlm_mcp.sandbox.inside.asking import Host, HostError, Mapped
from rlm_mcp.sandbox.inside.found import Answer, Counted, Lines, Match, compiled, matches, one_line, parse_time
from rlm_mcp.sandbox.inside.models import Models, RunAnswer, as_text
from rlm_mcp.sandbox.inside.session import Session
from rlm_mcp.sandbox.inside.telling import cut, displayed

_SHOW_CHARS = 4_000


class Repo:
    r"""The repository, read-only, as it is now.

    repo.files("**/*.py")               paths, tracked and new ones, without what git ignores
    repo.read("src/app.py")             a file's text; repo.bytes(path) its bytes
    repo.grep(r"def \w+", "**/*.py")     every match (ripgrep's syntax): .path .line_number .line .ref
    repo.diff("2 hours ago")            what changed since: a time, "t12" (a turn), "e40" (an event) or
                                        "HEAD" (a commit); path="src" narrows, stat=True sums up
    repo.root                           where open() finds it: open(f"{repo.root}/README.md")
    """

    def __init__(self, host: Host, root: str) -> None:
        self._host = host
        self._root = root
        self._cell = -1

    @property
    def root(self) -> str:
        """Where it is mapped."""
        if not self._root:
            raise HostError(self._host.ask("repo_missing"))
        if self._cell != self._host.runner.cell:  # files are read without the host: it is told once in a Cell
            self._host.ask("looked")
            self._cell = self._host.runner.cell
        return self._root

    def files(self, glob: str = "**/*") -> list[str]:
        """Paths that fit the glob, relative to the root, sorted."""
        return Lines(self._host.ask("repo_files", glob=glob))

    def bytes(self, path: str) -> bytes:
        """A file's bytes."""
        return Path(self.root, path).read_bytes()

    def read(self, path: str, encoding: str = "utf-8") -> str:
        """A file's text; what is not in the encoding is replaced."""
        return self.bytes(path).decode(encoding, "replace")

    def grep(self, pattern: str, glob: str = "", *, ignore_case: bool = False, limit: int = 10_000) -> list[Place]:
        """Every line the pattern matches, at most ``limit``; ``.total``: of all; ``.note``: files passed over."""
        found = self._host.ask("repo_grep", pattern=pattern, glob=glob, ignore_case=ignore_case, limit=limit)
        places = (Place(*row) for row in found["matches"])
        return Counted(places, found["total"], is_at_least=found["is_at_least"], note=found.get("note", ""))

    def diff(self, since: object, path: str = "", *, stat: bool = False) -> str:
        """Unified diff of the working tree, uncommitted work included, since then."""
        when = since if isinstance(since, str | int | float) else parse_time(since)
        return str(self._host.ask("repo_diff", since=when, path=path, stat=stat))

    def __repr__(self) -> str:
        return f"repository at {self._root!r}; help(repo) tells more" if self._root else "no repository is mapped"


class Place:
    """A matching line of a file: path, line_number (from 1), line, ref (``path:line``)."""

    __slots__ = ("line", "line_number", "path")

    def __init__(self, path: str, line_number: int, line: str) -> None:
        self.path = path
        self.line_number = line_number
        self.line = line

    @property
    def ref(self) -> str:
        """``path:line``."""
        return f"{self.path}:{self.line_number}"

    def __repr__(self) -> str:
        return f"{self.ref}: {one_line(self.line, 200)}"


class Document:
    """A loaded file at one content hash: name, ref, path, length (bytes), lines, encoding.

    .text (str), .raw (bytes, mapped), doc[start:end] (characters), .grep(pattern), len(doc) (characters)
    """

    def __init__(self, host: Host, fields: Mapping[str, Any]) -> None:
        self._host = host
        self._mapped: Mapped | None = None
        self._text: str | None = None
        self.name: str = fields["name"]
        self.sha256: str = fields["sha256"]
        self.ref: str = fields["ref"]
        self.path: str = fields["path"]
        self.length: int = fields["length"]
        self.lines: int = fields["lines"]
        self.encoding: str = fields["encoding"]

    @property
    def raw(self) -> memoryview:
        """Its text as UTF-8, mapped."""
        if self._mapped is None:
            self._mapped = self._host.file("document", sha256=self.sha256)
        return self._mapped.view

    @property
    def text(self) -> str:
        """All of it."""
        if self._text is None:
            self._text = (self._mapped or self._host.file("document", sha256=self.sha256)).text()
        return self._text

    @property
    def read_text(self) -> str | None:
        """The text, if it was read already."""
        return self._text

    def grep(self, pattern: str | re.Pattern[str], flags: int = 0) -> list[Match]:
        """Every match: .ref, .line, .found."""
        found = matches(compiled(pattern, flags), self.text)
        return Lines(Match(f"{self.ref}:{start}-{end}", line, what) for start, end, line, what in found)

    def __getitem__(self, place: Any) -> str:
        return self.text[place]

    def __len__(self) -> int:
        return len(self.text)

    def __bool__(self) -> bool:
        return self.length > 0

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{self.name}: {self.length:,} bytes, {self.lines:,} lines, {self.encoding}  {self.ref}"


class Docs(Mapping[str, Any]):
    """What the tool ``load`` brought in, by name.

    docs["server.log"].text             a document's text; .grep(pattern), [start:end], .lines, .ref
    docs["specs"]                       all that was loaded under one name, as a list
    docs.search("words")                as the tool search with scope="docs"
    list(docs), len(docs)               the names
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, Document] = {}
        self._cell = -1

    def _all(self) -> dict[str, Document]:
        """As the host knows them now; asked once in a Cell."""
        if self._cell != self._host.runner.cell:
            rows = self._host.ask("documents")
            known = {(document.name, document.sha256): document for document in self._known.values()}
            self._known = {}
            for row in rows:
                before = known.get((row["name"], row["sha256"]))
                self._known[row["name"]] = Document(self._host, row) if before is None else before
            self._cell = self._host.runner.cell
        return self._known

    def known_texts(self) -> Iterator[tuple[str, str]]:
        """Texts that were read here already, with their hash."""
        for document in self._known.values():
            if document.read_text is not None:
                yield document.sha256, document.read_text

    def exactly(self, sha256: str, name: str) -> Document:
        """The document of that name, if it still has that content."""
        found = self._all().get(name)
        if found is None or found.sha256 != sha256:
            raise KeyError(f"document {name!r} is not loaded any more, or is another now")
        return found

    def search(self, query: str, **filters: Any) -> Answer:
        """As the tool ``search`` over the documents."""
        return Answer(self._host.ask("search", query=query, **{**filters, "scope": "docs"}))

    def __getitem__(self, name: str) -> Any:
        found = self._all()
        if name in found:
            return found[name]
        below = [document for key, document in found.items() if key.startswith(f"{name.rstrip('/')}/")]
        if not below:
            raise KeyError(
                f"no document {name!r}; there are: {', '.join(list(found)[:20]) or 'none, the tool load brings some'}"
            )
        return Lines(below)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(Lines(self._all().values())) if self._all() else "no documents; the tool load brings some"


class Seen:
    """All that the host gives, by name."""

    def __init__(self, host: Host, *, repo: str) -> None:
        self._host = host
        self._session: Session | None = None
        self._repo = Repo(host, repo)
        self._docs = Docs(host)

    def at(self, known: Mapping[str, Any]) -> bool:
        """The session as it is now; whether it has changed. In a Run, all that ends it or asks is given anew."""
        if "context" in known:
            runner = self._host.runner
            asking = [name for name in runner.given if name.startswith(("FINAL", "llm_", "rlm_"))]
            runner.namespace.update({name: runner.given[name] for name in asking})
        if self._session is None:
            self._session = Session(self._host, known)
            self._host.runner.grant("session", self._session)
            return True
        return self._session.at(known)

    def names(self) -> dict[str, Any]:
        """Name -> value, of what is always there."""
        return {
            "repo": self._repo,
            "docs": self._docs,
            "read": self._read,
            "show": _show,
            "help": self._help,
            "FINAL": self._final,
            **Models(self._host, self._known).names(),
        }

    def lazy(self) -> dict[str, Callable[[], Any]]:
        """Name -> how it is made, of what is made when it is used."""
        return {"context": self._scope}

    def name_of(self, value: object) -> str:
        """The name under which something given is found again; empty for all else."""
        if isinstance(value, str):
            whole = self._session is not None and self._session.has_text(value)
            return f"text:{len(self._session)}" if whole and self._session is not None else ""
        if type(value) is memoryview:
            whole = self._session is not None and self._session.has_raw(value)
            return f"raw:{value.nbytes}" if whole else ""
        for name, given in self._host.runner.given.items():
            if value is given:
                return name
        if isinstance(value, Session):
            return f"session:{value.key}"
        return f"document:{value.sha256}:{value.name}" if isinstance(value, Document) else ""

    def named(self, name: str) -> object:
        """What has that name.

        Raises:
            KeyError: it is not there any more.
        """
        assert self._session is not None
        kind, _colon, key = name.partition(":")
        if kind == "text":
            return self._session.text_until(int(key))
        if kind == "raw":
            return self._session.raw[: int(key)]
        if kind == "session" and key:
            return {one.key: one for one in (self._session, *self._session.earlier)}[key]
        if kind == "document" and key:
            return self._docs.exactly(*key.split(":", 1))
        return self._host.runner.given[name]

    def _scope(self) -> Any:
        """What ``context`` is: the session's text, or the texts that a Run was given."""
        assert self._session is not None
        given = self._session.context
        if given is None:
            return self._session.text
        packs: dict[int, Mapped] = {}
        texts: list[str] = []
        for number, start, end in self._host.ask("context_places"):
            if number not in packs:
                packs[number] = self._host.file("context_pack", number=number)
            texts.append(packs[number].text(start, end))
        return texts if given["is_list"] else texts[0]

    def _known(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Texts that were made here of what the host knows, with their places."""
        assert self._session is not None
        context = self._host.runner.given.get("context")
        if self._session.context is not None and context is not None:
            for number, text in enumerate([context] if isinstance(context, str) else context):
                yield {"part": number}, text
        for session in (self._session, *self._session.earlier):
            if session.has_text(session.known_text):
                yield {"log": session.key}, session.known_text
        for sha256, text in self._docs.known_texts():
            yield {"document": sha256}, text

    def _read(self, ref: str) -> str:
        """The exact text of a Ref, whole: "e12", "e12:0-400", "t3", "c5" (a Cell's output), "d1f2e3d4c" (document)."""
        return self._host.file("read", ref=str(ref)).text()

    def _help(self, *topics: object) -> None:
        """What something is: help(session), help(repo), help(docs), help(len). Without anything: what there is."""
        given = {id(value): name for name, value in self._host.runner.given.items()}
        told = "\n\n".join(_taught(topic, given.get(id(topic), "")) for topic in topics) if topics else OVERVIEW
        print(told)  # noqa: T201  # a Cell's output

    def _final(self, value: object, quotes: Iterable[str] = ()) -> NoReturn:
        """End the Cell with this value as the answer; ``quotes``: texts that prove it, word for word."""
        if not quotes and isinstance(value, RunAnswer):
            quotes = value.quotes
        proofs = [as_text(quote, "a quote") for quote in ([quotes] if isinstance(quotes, str) else quotes)]
        if proofs:
            self._host.ask("quotes", quotes=proofs)
        self._host.runner.final(value)


_SIGNATURE_WORDS = (
    (r"<object object at 0x[0-9a-f]+>", "..."),
    (r" -> 'NoReturn'", ""),
    (r"(?<=[:>] )'([^']*)'", r"\1"),
)
"""What a signature says of our own insides, and what it is to say."""
OVERVIEW = """\
A Python REPL; variables stay from Cell to Cell, also over compactions and restarts.
  session    the whole past: .turns .events .facts(kind) .search(q) .grep(re) .text, session["t3"], session["e12"]
  repo       the repository: .files(glob) .read(path) .grep(re, glob) .diff(since)
  docs       what the tool load brought in: docs[name].text
  context    the session's whole text, a str
  read(ref)  exact text of a Ref        show(x)   a value, cut
  llm_query(prompt), llm_query_batched(prompts), llm_map(items, "... {item}", schema=...)   ask other models
  rlm_query(question, context)   a child with a REPL of its own
  FINAL(x)   ends the Cell with x as the answer; FINAL_VAR("name") with a variable
  reset()    throws all variables away
help(session), help(repo), help(docs) tell more.
The standard library is there; no network, processes, threads or writing."""


def _taught(topic: object, name: str) -> str:
    """The docstring of what we give, under its name; all else by pydoc."""
    kind = topic if isinstance(topic, type) else type(topic)
    if kind.__module__.startswith("rlm_mcp."):
        return inspect.cleandoc(kind.__doc__ or "")
    if inspect.isroutine(topic) and (name or type(getattr(topic, "__self__", None)).__module__.startswith("rlm_mcp.")):
        told = str(inspect.signature(topic))
        for internal, shown in _SIGNATURE_WORDS:
            told = re.sub(internal, shown, told)
        doc = (inspect.getdoc(topic) or "").replace("\n", "\n    ")
        return f"{name or topic.__name__}{told}\n    {doc}"
    return pydoc.render_doc(topic, renderer=pydoc.plaintext)  # type: ignore[attr-defined]  # not in typeshed


def _show(*values: object, limit: int = _SHOW_CHARS) -> None:
    """Print values, each cut to ``limit`` characters: head, what was left out, tail."""
    for value in values:
        print(cut(value if isinstance(value, str) else displayed(value), limit))  # noqa: T201  # a Cell's output
