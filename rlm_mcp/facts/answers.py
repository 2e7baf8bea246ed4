"""What the user answered to which question, and what that decides."""

from __future__ import annotations

from rlm_mcp.facts.patterns import LazyPattern, lazy

MAX_ANSWER_CHARS = 400

_ITEM = LazyPattern(r"(?m)^[ \t]*(?:\(?(?P<number>\d{1,2})[.):][ \t]*|[-*\u2022][ \t]+)(?=\S)")


def answers_by_number(text: str) -> dict[str, str]:
    """Number -> answer, of a prompt that answers item by item ("1: yes 2. no", or by bullets); else empty."""
    marks = list(_ITEM.finditer(text))
    if len(marks) < 2 or text[: marks[0].start()].strip():
        return {}
    numbered = all(mark["number"] for mark in marks)
    found: dict[str, str] = {}
    for i, mark in enumerate(marks):
        stop = marks[i + 1].start() if i + 1 < len(marks) else len(text)
        body = text[mark.end() : stop].strip()
        number = mark["number"] if numbered else str(i + 1)
        found[number] = " ".join((body if i + 1 < len(marks) else body.split("\n")[0]).split())
    return found


def matched(questions: list[str], choices: dict[str, str], text: str) -> list[tuple[str, str]]:
    """(question, its answer) for each of ``questions``; the whole of ``text`` stands once where it has no items."""
    items = answers_by_number(text)
    numbers = [_number_of(question, choices) or str(i) for i, question in enumerate(questions, 1)]
    whole = " ".join(text.split())
    if not items or not set(items) & set(numbers):
        return [(question, (whole if i == 0 else "")[:MAX_ANSWER_CHARS]) for i, question in enumerate(questions)]
    return [
        (question, items.get(number, "")[:MAX_ANSWER_CHARS])
        for question, number in zip(questions, numbers, strict=True)
    ]


def _number_of(question: str, choices: dict[str, str]) -> str:
    """The number under which the reply listed the question; empty where it did not."""
    return next((number for number, entry in choices.items() if question[:60] in entry or entry[:60] in question), "")


_ROUTINE = frozenset({
    "ok", "okay", "k", "yes", "yeah", "yea", "yep", "yup", "y", "sure", "perfect", "great", "good", "cool", "nice",
    "thanks", "thank", "you", "all", "g", "sounds", "lgtm", "right", "correct", "fine", "please", "alright", "awesome",
    "excellent", "commit", "continue", "proceed", "go", "on", "ahead", "push", "do", "it", "that", "this", "implement",
    "start", "now", "let's", "lets", "then", "and", "can", "the", "changes", "for", "keep", "going", "carry", "next",
    "ship", "run", "done", "just", "so", "with", "work", "looks", "is", "agreed", "approved", "no", "nope", "nah",
})  # fmt: skip
_WORD = LazyPattern(r"[\w']+")


def is_bare(text: str) -> bool:
    """Whether a line only agrees, goes on or has things committed: nothing is decided by its words alone."""
    words = _WORD.findall(text.lower().replace("\u2019", "'"))
    return bool(words) and all(word in _ROUTINE for word in words)


_OFFER = lazy(
    r"^(?:\W|(?:so|and|or|also|otherwise|alternatively|if not|ok(?:ay)?),? )*(?:do you )?(?:want|would you like|should|"
    r"shall|can|could|may|are you ok(?:ay)? with|is it ok(?:ay)? (?:if|to))(?: (?:me|i|we|"
    r"us))?(?: to)? (?P<what>.+?)\?",
)
_ROUTINE_OFFER = lazy(
    r"^commit\b|^(?:continue|proceed|go ahead|start|run|do|try|begin|move on|push|implement)(?: (?:it|that|this|"
    r"these|now|"
    r"with (?:it|that|this)|the changes|ahead|on))*$"
)


def accepted(question: str, answer: str) -> str:
    """``add an endpoint: yes`` of "Want me to add an endpoint?" and "yes"; empty where the offer says too little."""
    said = " ".join(question.split())
    match = _OFFER.search(f"{said[:1].lower()}{said[1:]}")
    what = match["what"].strip(" *_") if match else ""
    if len(what) < 8 or _ROUTINE_OFFER.search(what.lower()):
        return ""
    return f"{what[:200]}: {' '.join(answer.split())[:200]}"


_POINTS_BACK = LazyPattern(
    r"^\W*(?:yes|yeah|yea|yep|yup|sure|ok(?:ay)?|no|nope|please|go ahead|do)\b.*\b(?:it|one|that|this|both|so)\b"
)


def points_back(text: str) -> bool:
    """Whether a short answer means nothing without its question ("yes, let's make one")."""
    return len(text) <= 40 and _POINTS_BACK.search(text.lower()) is not None


_ABOUT = lazy(
    r"^(?:for|regarding|about|concerning) (?P<a>[^,?:]{3,80})[,:]",
    r"\bpreference (?:for|on|about|regarding) (?:the |a |an )?(?P<b>[^?.,]{3,60})",
    r"\b(?:which|what) (?P<c>(?!approach|option|one|do |should|would|is |are |kind|type|way)[\w -]{3,50}?) "
    r"(?:should|do|would|shall|is|are|to)\b",
)
_PARENTHESES = LazyPattern(r"\s*\([^)]*\)")


def topic(question: str) -> str:
    """What a question is about, in at most 90 characters."""
    said = " ".join(question.split())
    match = _ABOUT.search(f"{said[:1].lower()}{said[1:]}")
    if match:
        return _PARENTHESES.sub("", next(value for value in match.groupdict().values() if value)).strip()
    pieces = [piece.strip() for piece in said.replace("? ", "?\n").replace(". ", ".\n").split("\n") if piece.strip()]
    piece = pieces[-1] if pieces else ""
    if len(piece) < 30 and len(pieces) > 1:
        piece = pieces[-2]
    piece = piece.rstrip("?.: ")
    return piece if len(piece) <= 90 else f"{piece[:89].rstrip()}\u2026"
