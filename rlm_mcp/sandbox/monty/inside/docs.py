"""``docs`` in a Cell that Monty runs: as in ``inside.seen``, in Monty's subset of Python."""

from typing import Any

from rlm_mcp.sandbox.monty.inside.asking import Host
from rlm_mcp.sandbox.monty.inside.found import Match, compiled, listed, matches
from rlm_mcp.sandbox.monty.inside.session import Answer


class Document:
    """A loaded file at one content hash: name, ref, path, length (bytes), lines, encoding.

    .text (str), doc[start:end] (characters), .grep(pattern), len(doc) (characters);
    where there is too much to hold all, .text is there for the documents whose name the Cell writes out
    """

    of_rlm_mcp = True

    def __init__(self, fields: "dict[str, Any]") -> None:
        self.name = fields["name"]
        self.sha256 = fields["sha256"]
        self.ref = fields["ref"]
        self.path = fields["path"]
        self.length = fields["length"]
        self.lines = fields["lines"]
        self.encoding = fields["encoding"]
        self.text: Any = None

    def grep(self, pattern: Any, flags: int = 0) -> "list[Match]":
        """Every match: .ref, .line, .found."""
        found = matches(compiled(pattern, flags), self.whole())
        return [Match(f"{self.ref}:{start}-{end}", line, what, None) for start, end, line, what in found]

    def whole(self) -> str:
        """Its text, where it is held."""
        if self.text is None:
            raise RuntimeError(
                f"{self.name} is not held here; write its name out in the Cell, "
                f"or read spans of it: read('{self.ref}:0-100000')"
            )
        return str(self.text)

    def __getitem__(self, place: Any) -> Any:
        return self.whole()[place]

    def __len__(self) -> int:
        return len(self.whole())

    def __str__(self) -> str:
        return self.whole()

    def __repr__(self) -> str:
        return f"{self.name}: {self.length:,} bytes, {self.lines:,} lines, {self.encoding}  {self.ref}"


class Docs:
    """What the tool ``load`` brought in, by name.

    docs["server.log"].text             a document's text; .grep(pattern), [start:end], .lines, .ref
    docs["specs"]                       all that was loaded under one name, as a list
    docs.search("words")                as the tool search with scope="docs"
    list(docs), len(docs)               the names
    """

    of_rlm_mcp = True

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, Document] = {}

    def at(self, code: str, most_bytes: int) -> None:
        """As it is now; texts of all, or, where that is too much, of those the code names."""
        known = self._known
        self._known = {}
        rows = self._host.ask("documents", {})
        total = sum([row["length"] for row in rows])
        for row in rows:
            document = known.get(row["name"])
            if document is None or document.sha256 != row["sha256"]:
                document = Document(row)
            self._known[row["name"]] = document
            is_wanted = total <= most_bytes or row["name"] in code
            if is_wanted and row["length"] <= most_bytes and document.text is None:
                raw = self._host.bytes_from(0, "document", {"sha256": row["sha256"]})
                document.text = raw.decode("utf-8", "replace")

    def shed(self) -> None:
        """What the host can give again is let go."""
        self._known = {}

    def search(self, query: str, **filters: Any) -> Answer:
        """As the tool search over the documents."""
        filters["query"] = query
        filters["scope"] = "docs"
        return Answer(self._host.ask("search", filters))

    def keys(self) -> "list[str]":
        """The names."""
        return list(self._known)

    def values(self) -> "list[Document]":
        """The documents."""
        return list(self._known.values())

    def items(self) -> "list[tuple[str, Document]]":
        """Name and document, of each."""
        return list(self._known.items())

    def get(self, name: str, default: Any = None) -> Any:
        """The document of that name, or the default."""
        return self._known.get(name, default)

    def __getitem__(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        below = [self._known[key] for key in self._known if key.startswith(f"{name.rstrip('/')}/")]
        if not below:
            there = ", ".join(list(self._known)[:20]) or "none, the tool load brings some"
            raise KeyError(f"no document {name!r}; there are: {there}")
        return below

    def __iter__(self) -> Any:
        return iter(list(self._known))

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return listed(list(self._known.values())) if self._known else "no documents; the tool load brings some"
