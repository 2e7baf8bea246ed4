"""What was decided, remembered so that it can be taken back: a change of mind, an undo."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo, bound
from rlm_mcp.facts.patterns import LazyPattern, lazy

MAX_STANCES = 60
"""Decisions that can be taken back; older ones stand for good."""
_MAX_WORDS = 24

_WORD = LazyPattern(r"[a-z0-9_./-]{3,}|\d+|[\u3040-\u30ff\u4e00-\u9fff]")
_STOP_WORDS = frozenset({
    "the", "and", "you", "now", "can", "use", "not", "any", "for", "with", "that", "this", "from", "instead",
    "forget", "ignore", "about", "anymore", "again", "don", "never", "always", "only", "please", "must", "should",
    "may", "are", "was", "have", "has", "been", "what", "said", "rule", "earlier", "before", "okay", "fine", "let",
    "its", "longer", "yes", "yep", "yeah", "just", "also", "then", "than", "but", "when", "into", "onto", "over",
    "want", "make", "makes", "made", "making", "change", "changed", "changes", "mind", "undo", "undoing", "revert",
    "remove", "scrap", "drop", "actually", "rather", "new", "current", "currently", "way", "thing", "things", "stuff",
    "code", "file", "files", "last", "add", "added", "work", "works", "working", "one", "ones", "all", "some",
    "other", "more", "there", "here", "will", "would", "could", "like", "need", "needs", "needed", "keep", "going",
    "get", "got", "put", "our", "your", "their", "they", "them", "does", "did", "doing", "done", "how", "why",
    "which", "while", "where", "because", "since", "recommended", "let's", "i'll", "we'll", "it's", "that's", "don't",
})  # fmt: skip


def telling_words(text: str) -> set[str]:
    """The words of ``text`` that say what it is about, in small letters and singular, and its numbers."""
    words = (word.strip("./-").rstrip("s") for word in _WORD.findall(text.lower()))
    return {word for word in words if word and word not in _STOP_WORDS}


def stance_subject(text: str) -> str:
    """A subject by which a decision can be named in ``closes``: the same for the same words."""
    folded = " ".join(text.lower().split()).encode("utf-8", "replace")
    return f"decision {hashlib.blake2b(folded, digest_size=6).hexdigest()}"


def remember(facts: Iterable[Fact], memo: Memo, turn: int, question: str = "") -> None:
    """Keep the decisions among ``facts``; ``question``: the one that they answer."""
    for fact in facts:
        if fact.kind is FactKind.DECISION and fact.subject:
            memo.decided.pop(fact.subject, None)
            words = sorted(telling_words(f"{fact.text} {fact.note}"))[:_MAX_WORDS]
            leaves = "-" if _LEAVING.match(fact.text.lower()) else ""
            memo.decided[fact.subject] = [str(turn), question[:400], leaves, *words]
    bound(memo.decided, MAX_STANCES)


_LEAVING = LazyPattern(r"[\W_]*(?:let'?s |i'?ll |we'?ll |please )*(?:remove|drop|delete|undo|revert|discard)\b")
_LEAD = (
    r"(?:^|[.,;:!] ?|\b(?:let'?s|please|can you|could you|and|but|so|then|just|now|ok(?:ay)?|to|we can|you can|"
    r"i want to|i'd like to|we should|go back to)[, ]+)"
)
_TAKEN_BACK = lazy(
    rf"{_LEAD}(?P<undone>(?:remov|undo|revert|delet|roll(?:ing)? ?back|discard|get(?:ting)? rid of)\w*) "
    r"(?P<u>[^,.;\n]{2,120})",
    r"\bchanged my mind (?:about|on|regarding) (?P<mind>[^,.;\n]{2,120})",
    rf"{_LEAD}(?:forget|scrap|scratch|ditch|abandon|never ?mind|disregard|drop)(?: about)? "
    r"(?P<scrap>[^,.;\n]{2,120})",
    r"\b(?:no longer (?:want|need|do|use|using|going with)|not (?:doing|using|going with)) (?P<longer>[^,.;\n]{2,120})",
    r"\b(?:instead of|rather than|in place of) (?P<instead>[^,.;\n]{2,80})",
    r"\b(?:should|use|want|put|take|have|make|be)\b[^.;\n]{2,80}[ ,]not (?:in )?(?:an? |"
    r"the )?(?P<contrast>[^,.;\n]{3,30})(?=[,.;]|$)",
    r"\b(?:switch|move|migrate|change|go)(?:ing)? (?:[\w`'-]+ ){0,6}?(?:away )?from (?P<source>[^,.;\n]{2,60}?) to\b",
    r"\b(?:don'?t|do not) (?:want|need) (?P<unwanted>[^,.;\n]{2,80}?) (?:any ?more|after all)\b",
)
_SECOND_THOUGHT = lazy(
    r"^[\W_]*(?:(?:ok(?:ay)?|so|hmm+|but|no|wait|oh)[,. ]+)*(?:actually|on second thought|i changed my mind|"
    r"scratch that|instead|wait)\b.*\b(?:let'?s|use|make|go|do|should|want|rather|switch|keep|need|would)\b",
    r"\binstead[.!]?$",
)
_CUT = LazyPattern(r" (?:so that|so|because|since|when|if|and then|as|it|this|that|until)\b")


def replaced_by_model(text: str, memo: Memo) -> tuple[Closes, ...]:
    """Decisions that the model says to leave for others: "I'll switch from X to Y"."""
    if not memo.decided or " from " not in text:
        return ()
    match = _SWITCH.search(text.lower().replace("\u2019", "'"))
    return taken_back(f"switch from {match['left']} to", memo) if match else ()


_SWITCH = LazyPattern(
    r"\b(?:i|we)(?:'ll| will|'m going to| am going to) (?:[\w-]+ ){0,3}?from (?P<left>[^,.;\n]{2,60}?) to\b"
)


def taken_back(text: str, memo: Memo) -> tuple[Closes, ...]:
    """What a sentence of the user says to be over: decisions, with the questions that they answered, and rules."""
    if not memo.decided and not memo.rules:
        return ()
    said = text.lower().replace("\u2019", "'")
    focuses = [_focus(match.groupdict()) for match in _TAKEN_BACK.finditer(said)]
    focuses = [(words, undone) for words, undone in focuses if words]
    doubts = not focuses and _SECOND_THOUGHT.search(said) is not None and not said.rstrip().endswith("?")
    if not focuses and not doubts:
        return ()
    whole = telling_words(said)
    closes: list[Closes] = []
    for subject, (_turn, question, leaves, *stance) in list(memo.decided.items()):
        known = set(stance)
        if any(_speaks_of(words, whole, known) for words, undone in focuses if not (undone and leaves)) or (
            doubts and len(whole & known) >= 2 and 2 * len(whole & known) >= len(known)
        ):
            del memo.decided[subject]
            closes.append(Closes(kind=FactKind.DECISION, subject=subject))
            if question:
                closes.append(Closes(kind=FactKind.QUESTION, subject=question))
    for subject, rule in list(memo.rules.items()):
        if any(undone and len(words & set(rule)) >= 2 for words, undone in focuses) and not _FORBIDS.search(subject):
            del memo.rules[subject]
            closes.append(Closes(kind=FactKind.CONSTRAINT, subject=subject))
    return tuple(closes)


_FORBIDS = LazyPattern(r"\b(?:never|don'?t|do not|no|not|without|avoid|mustn'?t|shouldn'?t|only)\b")


def _focus(groups: dict[str, str | None]) -> tuple[set[str], bool]:
    """(telling words of what is taken back, whether by undoing it)."""
    piece = next(value for name, value in groups.items() if value and name != "undone")
    cut = _CUT.search(piece)
    return telling_words(piece[: cut.start()] if cut else piece), bool(groups.get("undone"))


def _speaks_of(focus: set[str], whole: set[str], stance: set[str]) -> bool:
    shared = focus & stance
    return bool(shared) and (len(shared) >= 2 or len(whole & stance) >= 2 or (len(focus) == 1 and len(stance) <= 3))


_UNDO_LAST = lazy(
    r"(?<!n't )(?<!not )(?<!can )\b(?:undo|revert|roll ?back|discard|back out)\b (?:all )?(?:of )?(?:the |this |that |"
    r"your |these |those |my )*(?:last|latest|previous|most recent) (?:\w+ )?(?:change|edit|commit|update|step|patch|"
    r"modification|thing)s?\b",
    r"^[\W_]*(?:(?:please|ok(?:ay)?|no|let'?s|just|wait|can you)[, ]+)*(?:undo|revert|roll ?back)(?: (?:it|that|this|"
    r"these|those))?(?: changes?)?(?: please)?[.!]*$",
)


def undone_turn(text: str, memo: Memo) -> tuple[Closes, ...]:
    """Decisions of the Turn that the user says to undo: the one before, or (undo, undo) the one before that."""
    if not memo.decided or not _UNDO_LAST.search(text.lower().replace("\u2019", "'")):
        return ()
    turn = memo.prompts + 1
    target = memo.undone[1] - 1 if memo.undone[0] == turn - 1 else turn - 1
    memo.undone = (turn, target)
    gone = [subject for subject, stance in memo.decided.items() if stance[0] == str(target)]
    for subject in gone:
        del memo.decided[subject]
    return tuple(Closes(kind=FactKind.DECISION, subject=subject) for subject in gone)
