"""Where the measure cuts: each transcript's compaction boundaries, or 60 % and 95 %, and after a third compaction."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.steps import Json, Record, compaction_cuts, is_codex, read_records

LONG_BYTES = 300_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One transcript cut at one point."""

    session: str
    path: Path
    name: str
    """``compaction 1``, ``60 %``, ``95 %`` or ``after 3 compactions``."""
    records: tuple[Record, ...]
    cut: int
    """How many records lie before the cut."""
    compact_at: tuple[int, ...] = ()
    """Where compactions are put in before the cut, as numbers of records."""

    @property
    def bytes(self) -> int:
        """Size of what lies before the cut."""
        return self.records[self.cut - 1].end


def find_transcripts(given: list[Path]) -> list[Path]:
    """Files given, or every Claude Code and Codex file of ``RLM_MCP_TRANSCRIPTS`` or ``../shared/transcripts``."""
    roots = given or [transcripts_folder()]
    found: list[Path] = []
    for root in roots:
        if root.is_file():
            found.append(root)
        elif root.is_dir():
            files = [p for p in sorted(root.rglob("*.json*")) if p.is_file() and "pi" not in p.relative_to(root).parts]
            found += files
    return found


def transcripts_folder() -> Path:
    """Where the real transcripts lie, if anywhere."""
    named = os.environ.get("RLM_MCP_TRANSCRIPTS", "")
    return Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "transcripts"


def scenes_of(path: Path, *, third: bool = True) -> list[Scene]:
    """Every cut of one transcript."""
    records = tuple(read_records(path))
    if not records:
        return []
    parts = path.stem.split("__")
    session = path.stem if len(parts) < 3 else f"{parts[0]} {parts[-1]}"
    cuts = compaction_cuts(list(records))
    found = [
        Scene(session=session, path=path, name=f"compaction {number}", records=records, cut=cut)
        for number, cut in enumerate(cuts, 1)
    ]
    if not cuts:
        for share in (0.60, 0.95):
            cut = _at_share(records, share)
            found.append(Scene(session=session, path=path, name=f"{share:.0%}", records=records, cut=cut))
    if third and records[-1].end >= LONG_BYTES and path.suffix == ".jsonl":
        quarters = tuple(_at_share(records, share) for share in (0.25, 0.50, 0.75))
        cut = _at_share(records, 0.95)
        name = "after 3 compactions"
        found.append(Scene(session=session, path=path, name=name, records=records, cut=cut, compact_at=quarters))
    return found


def _at_share(records: tuple[Record, ...], share: float) -> int:
    limit = records[-1].end * share
    return max(1, sum(record.end <= limit for record in records))


def write_prefix(scene: Scene, target: Path, brief: Callable[[Path], str]) -> None:
    """Writes what lies before the cut; at each synthetic compaction the product's own Brief is put in its place.

    Args:
        brief: asked at each synthetic compaction with the file as it then stands.
    """
    raw = scene.path.read_bytes()
    start = 0
    with target.open("wb") as out:
        for number in scene.compact_at:
            end = scene.records[number - 1].end
            out.write(raw[start:end])
            out.flush()
            start = end
            for row in _compaction_rows(scene, number, brief(target)):
                out.write(json.dumps(row).encode() + b"\n")
        out.write(raw[start : scene.bytes])
        if raw.lstrip()[:1] == b"[":
            out.write(b"\n]\n")


def _compaction_rows(scene: Scene, number: int, text: str) -> list[Json]:
    """The rows a client writes when the product answers its compaction with ``text``."""
    last = next((r.body for r in reversed(scene.records[:number]) if r.body and r.body.get("timestamp")), {}) or {}
    if is_codex(list(scene.records)):
        content = [{"type": "input_text", "text": text}]
        message = {"type": "message", "role": "developer", "content": content}
        return [
            {
                "timestamp": last.get("timestamp"),
                "type": "compacted",
                "payload": {"message": "", "window_number": number},
            },
            {"timestamp": last.get("timestamp"), "type": "response_item", "payload": message},
        ]
    shared: Json = {key: last[key] for key in ("sessionId", "cwd", "version", "gitBranch", "timestamp") if key in last}
    boundary: Json = {
        **shared, "type": "system", "subtype": "compact_boundary", "content": "Conversation compacted", "isMeta": False,
        "parentUuid": None, "logicalParentUuid": last.get("uuid"), "uuid": f"00000000-0000-4000-8000-{number:012d}",
        "level": "info", "compactMetadata": {"trigger": "auto", "preTokens": 170_000},
    }  # fmt: skip
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    row: Json = {
        **shared, "type": "user", "message": message, "parentUuid": boundary["uuid"], "isSidechain": False,
        "uuid": f"00000000-0000-4000-9000-{number:012d}", "userType": "external",
    }  # fmt: skip
    return [boundary, row]
