"""``repo`` in a Cell that Monty runs: as in ``inside.seen``, in Monty's subset of Python."""

from typing import Any

from rlm_mcp.sandbox.monty.inside.asking import Host
from rlm_mcp.sandbox.monty.inside.found import listed, one_line, parse_time


class Place:
    """A matching line of a file: path, line_number (from 1), line, ref (path:line)."""

    of_rlm_mcp = True

    def __init__(self, row: "list[Any]") -> None:
        self.path, self.line_number, self.line = row
        self.ref = f"{self.path}:{self.line_number}"

    def __repr__(self) -> str:
        return f"{self.ref}: {one_line(self.line, 200)}"


class Places:
    """Matches of repo.grep, as a list has them, and .total: how many there are in all."""

    of_rlm_mcp = True

    def __init__(self, found: "dict[str, Any]") -> None:
        self.items = [Place(row) for row in found["matches"]]
        self.total = found["total"]
        self.is_at_least = found["is_at_least"]
        self.note = found.get("note", "")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Any:
        return iter(self.items)

    def __getitem__(self, place: Any) -> Any:
        return self.items[place]

    def __repr__(self) -> str:
        shown = listed(self.items) + (f"\n({self.note})" if self.note else "")
        if self.total <= len(self.items):
            return shown
        return f"{shown}\n({'at least ' if self.is_at_least else ''}{self.total:,} in all, {len(self.items):,} here)"


class Repo:
    r"""The repository, read-only, as it is now.

    repo.files("**/*.py")               paths, tracked and new ones, without what git ignores
    repo.read("src/app.py")             a file's text; repo.bytes(path) its bytes
    repo.grep(r"def \w+", "**/*.py")     every match (ripgrep's syntax): .path .line_number .line .ref
    repo.diff("2 hours ago")            what changed since: a time, "t12" (a turn), "e40" (an event) or
                                        "HEAD" (a commit); path="src" narrows, stat=True sums up
    repo.root                           where open() finds it: open(f"{repo.root}/README.md")
    """

    of_rlm_mcp = True

    def __init__(self, host: Host, root: str) -> None:
        self._host = host
        self.root = root

    def files(self, glob: str = "**/*") -> Any:
        """Paths that fit the glob, relative to the root, sorted."""
        return self._host.ask("repo_files", {"glob": glob})

    def bytes(self, path: str) -> Any:
        """A file's bytes."""
        if not self.root:
            raise RuntimeError(self._host.ask("repo_missing", {}))
        with open(f"{self.root}/{path}", "rb") as file:
            return file.read()

    def read(self, path: str, encoding: str = "utf-8") -> Any:
        """A file's text; what is not in the encoding is replaced."""
        return self.bytes(path).decode(encoding, "replace")

    def grep(self, pattern: str, glob: str = "", *, ignore_case: bool = False, limit: int = 10_000) -> Places:
        """Every line the pattern matches, at most limit; .total: how many there are; .note: files passed over."""
        arguments = {"pattern": pattern, "glob": glob, "ignore_case": ignore_case, "limit": limit}
        return Places(self._host.ask("repo_grep", arguments))

    def diff(self, since: Any, path: str = "", *, stat: bool = False) -> Any:
        """Unified diff of the working tree, uncommitted work included, since then."""
        when = since if isinstance(since, (str, int, float)) else parse_time(since)
        return self._host.ask("repo_diff", {"since": when, "path": path, "stat": stat})

    def __repr__(self) -> str:
        return f"repository at {self.root!r}; help(repo) tells more" if self.root else "no repository is mapped"
