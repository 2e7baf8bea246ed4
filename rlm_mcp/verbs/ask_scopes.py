"""What a question may be asked about: a Session, its Documents, files, Refs or the repository, as they are now.

Nothing is read but what is small: texts stay in their files, and a quote's place in them is its Ref.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from rlm_mcp.errors import DocumentError, QueryError, RefError, RlmError
from rlm_mcp.recursion.evidence import check
from rlm_mcp.recursion.scope import Scope, Source
from rlm_mcp.refs import Ref, Span, parse_ref
from rlm_mcp.repo import grep, tree
from rlm_mcp.repo.grep import GrepLimits
from rlm_mcp.store import copying, documents, log
from rlm_mcp.store.database import Store
from rlm_mcp.store.documents import DocumentRow, LoadedRow
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.verbs.read import log_spans, read

_MOST_BYTES = 4 << 30
_WHOLE_TOKENS = 16_000_000
_REPO_FILES = 5
"""Files of the repository that one quote is looked for in."""
_REPO_FILE_BYTES = 64 << 20
_REPO_SECONDS = 2.0
_REF_DIGITS = 16
"""Enough that no two Documents begin alike."""


def session_scope(store: Store, parts: Sequence[ScopePart]) -> Scope:
    """The Session; those it continues and its Documents as sources of quotes."""
    session = parts[0].session
    logs = [_of_log(store, part.session, is_own=number == 0) for number, part in enumerate(parts)]
    loaded = [_of_document(store, row.name, row) for row in documents.known_to(store, session)]
    return Scope(name=f"session {session.key}", texts=None, sources=(*logs, *loaded), has_more=True)


def documents_scope(store: Store, session: SessionRow) -> Scope:
    """All loaded Documents, as a list.

    Raises:
        QueryError: none is loaded.
    """
    rows = documents.known_to(store, session)
    if not rows:
        raise QueryError("no documents are loaded in this session; load brings files in")
    texts = tuple(_of_document(store, row.name, row) for row in rows)
    return Scope(name=f"{len(texts):,} documents of session {session.key}", texts=texts, is_list=True)


def refs_scope(
    store: Store, session: SessionRow | None, refs: Sequence[str], names: Sequence[str] | None = None
) -> Scope:
    """The texts of Refs: of one as a text, of more as a list.

    Args:
        session: the one at hand; not needed where all Refs stand alone.
        names: of their texts; the Refs themselves unless given.

    Raises:
        QueryError: there is none.
        RefError: one names nothing.
    """
    if not refs:
        raise QueryError("no Refs are given; name some, as 'e12 t3'")
    texts: list[Source] = []
    sources: list[Source] = []
    for ref, name in zip(refs, names or refs, strict=True):
        found = [replace(one, name=name) for one in _of_ref(store, session, ref)]
        sources += found
        is_one = len(found) == 1
        texts.append(found[0] if is_one else Source(name=name, content=b"".join(one.read() for one in found)))
    scope = ", ".join(names or refs) + (f" of session {session.key}" if session is not None else "")
    return Scope(name=scope, texts=tuple(texts), is_list=len(texts) != 1, sources=tuple(sources))


def _of_ref(store: Store, session: SessionRow | None, ref: str) -> list[Source]:
    """What a Ref names, as spans of a file; what a Cell printed as a text."""
    parsed = parse_ref(ref)
    if parsed.document:
        row = documents.by_prefix(store, parsed.document)
        whole = _of_document(store, ref, row)
        span = parsed.span or Span(start=0, end=row.length)
        if span.end > row.length:
            raise RefError(
                f"{ref!r} ends behind its document, which has {row.length:,} bytes; {row.ref!r} is all of it"
            )
        return [whole.part(span.start, span.end)]
    if parsed.cell is not None or parsed.run:
        found = read(store, session, ref, max_tokens=_WHOLE_TOKENS)
        return [Source(name=ref, content=found.text.encode("utf-8", "replace"))]
    owner, spans = log_spans(store, session, parsed)
    whole = replace(_of_log(store, owner, is_own=session is not None and owner.key == session.key), name=ref)
    return [whole.part(span.start, span.end) for span in spans]


def files_scope(store: Store, paths: Sequence[Path]) -> Scope:
    """Files, and what streams give, kept as Documents as they are now: of one the text, of more a list.

    Raises:
        DocumentError: one cannot be read as text.
    """
    copied = [(path, _copied(store, path)) for path in paths]
    with store.writing():
        for _path, one in copied:
            documents.add(store, one)
    texts = tuple(_of_document(store, str(path), documents.by_sha256(store, one.sha256)) for path, one in copied)
    return Scope(name=", ".join(str(path) for path in paths), texts=texts, is_list=len(texts) != 1)


def _copied(store: Store, path: Path) -> copying.Copied:
    """What the user has named: of a link, where it leads."""
    if copying.is_stream(path):
        return copying.copy_stream(store.paths, path, most_bytes=_MOST_BYTES)
    return copying.copy(store.paths, path.resolve(), most_bytes=_MOST_BYTES)


def repository_scope(root: Path) -> Scope:
    """The repository: ``context`` is the list of its files, which Cells read as they need them.

    Raises:
        UsageError, ProcessError: see :func:`rlm_mcp.repo.tree.files`.
    """
    paths = "\n".join(tree.files(root).paths)
    listing = Source(name="files of the repository", content=paths.encode("utf-8", "replace"))
    note = "the repository's files; repo.read(path), repo.grep(regex, glob), repo.diff(since)"
    return Scope(name=f"repository {root}", texts=(listing,), note=note, has_more=True)


def quoted_in_repository(lend: Callable[[], AbstractContextManager[Store]], root: Path, quote: str) -> Source | None:
    """The file of the repository in which a quote stands byte for byte, kept as a Document so that it stays so."""
    first = max(quote.split("\n"), key=len).removesuffix("\r")
    if not first.strip():
        return None
    limits = GrepLimits(matches=_REPO_FILES * 20, seconds=_REPO_SECONDS)
    try:
        found = grep.grep(root, first, fixed=True, limits=limits)
    except RlmError:
        return None  # it takes too long, or is nothing that a line could hold: then it is not proved
    for path in list(dict.fromkeys(match.path for match in found.matches))[:_REPO_FILES]:
        with lend() as store:
            try:
                copied = copying.copy(store.paths, root / path, most_bytes=_REPO_FILE_BYTES)
            except DocumentError:
                continue  # it is gone by now, or no text
            path_there = documents.document_path(store, copied.sha256)
            ref = Ref(document=copied.sha256[:_REF_DIGITS])
            source = Source(name=path, path=path_there, end=copied.length, ref=ref)
            if check([quote], [source])[0].is_verified:
                with store.writing():
                    documents.add(store, copied)
                return source
    return None


def _of_log(store: Store, session: SessionRow, *, is_own: bool) -> Source:
    ref = Ref(session="" if is_own else session.key, whole=True)
    path = log.log_path(store.paths, session.key)
    return Source(name=f"session {session.key}", path=path, end=session.log_bytes, ref=ref)


def _of_document(store: Store, name: str, row: DocumentRow | LoadedRow) -> Source:
    path = documents.document_path(store, row.sha256)
    return Source(name=name, path=path, end=row.length, ref=parse_ref(row.ref))
