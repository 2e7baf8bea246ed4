"""Facts of version control: commits made and undone, branches pushed and merged, pull requests."""

from __future__ import annotations

import re

from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.shell import Segment, git_verb
from rlm_mcp.facts.understood import Printed, Run

_COMMIT = LazyPattern(r"^\[([^\]\n]{1,200}?) ([0-9a-f]{7,40})\] (.+)$", re.MULTILINE)
_PUSHED = LazyPattern(
    r"^ (?:[ +*=!-]) +(?:\[new (?:branch|tag)\]|"
    r"[0-9a-f]{7,40}\.{2,3}[0-9a-f]{7,40}) +(\S+) +-> +(\S+).*$",
    re.MULTILINE,
)
_PR_URL = LazyPattern(r"https?://[\w.-]+/[\w./-]+/(?:pull|merge_requests|pull-requests)/(\d+)(?!\S*/)")
_PR_NUMBER = LazyPattern(r"\b(?:PR|[Pp]ull [Rr]equest) #(\d+)\b")
_PR_VERBS = {
    "create": "created",
    "submit": "submitted",
    "merge": "merged",
    "close": "closed",
    "ready": "ready",
    "edit": "edited",
    "reopen": "reopened",
}
_RESET = LazyPattern(r"^HEAD(?:~(\d+)|(\^+))$")
_MERGED = LazyPattern(r"^(?:Fast-forward|Merge made by .*|Already up to date\.)$", re.MULTILINE)


def vcs_facts(run: Run, printed: Printed, memo: Memo) -> list[Fact]:
    """Commits made, pushes, pull requests and merges that the run's output tells of."""
    found: list[Fact] = []
    if " -> " in printed.text and "push" in run.command.command:
        for match in _PUSHED.finditer(printed.text):
            start, end = printed.span(*match.span())
            found.append(
                Fact(
                    kind=FactKind.PULL_REQUEST,
                    subject=f"push {match[2]}",
                    text=match[0].strip(),
                    status="pushed",
                    start=start,
                    end=end,
                )
            )
    if "[" in printed.text:
        found += _commit_facts(run, printed, memo)
    verbs = [status for segment in run.working if (status := _pr_verb(segment))]
    if verbs and not run.command.failed:
        found += _pull_requests(printed, verbs[-1])
    for segment in run.working:
        if segment.program == "git" and git_verb(segment) == "merge" and not run.command.failed:
            found += _merged(segment, printed)
    return found


def _commit_facts(run: Run, printed: Printed, memo: Memo) -> list[Fact]:
    found: list[Fact] = []
    amends = any("--amend" in segment.words for segment in run.working)
    for match in _COMMIT.finditer(printed.text):
        start, end = printed.span(*match.span())
        closes: tuple[Closes, ...] = ()
        if amends and memo.commits:
            closes = (Closes(kind=FactKind.COMMIT, subject=memo.commits.pop()),)
        memo.commits = [*memo.commits, match[2]][-30:]
        found.append(
            Fact(
                kind=FactKind.COMMIT,
                subject=match[2],
                text=match[3].strip()[:2_000],
                status=match[1].replace("(root-commit)", "").strip(),
                start=start,
                end=end,
                closes=closes,
            )
        )
    return found


def _pr_verb(segment: Segment) -> str:
    words = segment.words[:4]
    for i, word in enumerate(words[:-1]):
        if word in {"pr", "mr"} and words[i + 1] in _PR_VERBS:
            return _PR_VERBS[words[i + 1]]
    return "submitted" if segment.program == "gt" and "submit" in words else ""


def _pull_requests(printed: Printed, status: str) -> list[Fact]:
    addresses = list(_PR_URL.finditer(printed.text))
    match = addresses[-1] if addresses else _PR_NUMBER.search(printed.text)
    if match is None:
        return []
    start, end = printed.span(*match.span())
    return [Fact(kind=FactKind.PULL_REQUEST, subject=match[1], text=match[0], status=status, start=start, end=end)]


def _merged(segment: Segment, printed: Printed) -> list[Fact]:
    match = _MERGED.search(printed.text)
    names = [word for word in segment.words[2:] if not word.startswith("-")]
    if match is None or not names or match[0].startswith("Already"):
        return []
    start, end = printed.span(*match.span())
    return [
        Fact(
            kind=FactKind.PULL_REQUEST,
            subject=f"merge {names[0]}"[:400],
            text=f"git merge {names[0]}: {match[0]}",
            status="merged",
            start=start,
            end=end,
        )
    ]


def undone_commits(segments: list[Segment], memo: Memo) -> list[str]:
    """Hashes that a ``git reset HEAD~N`` takes off the branch."""
    gone: list[str] = []
    for segment in segments:
        if segment.program == "git" and git_verb(segment) == "reset":
            for word in segment.words:
                match = _RESET.match(word)
                count = int(match[1]) if match and match[1] else len(match[2]) if match else 0
                kept = max(0, len(memo.commits) - count)
                gone += reversed(memo.commits[kept:])
                del memo.commits[kept:]
    return gone
