"""Parts of known secrets are taken out of a text: a slice of a key has no shape that a rule of ``redact`` could know.

What is known of a secret are its words, as far as they are drawn by lot and not chosen by people: runs of the letters
that tokens and base64 are made of, with a digit among them. A word's prefix that its issuer chose (``ghp_``) is public.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MARK = "[REDACTED:secret]"
_GRAM = 8
"""Characters that are looked for at once; of a word, all that follow one another."""
_LEAST = 10
"""A shorter part of a secret is left: it may stand there by chance."""
_LEAST_WORD = 12
_MOST_GRAMS = 200_000
"""Kept at most, about 30 MB; of more secrets every second one is, or every third ..., so that only longer parts are
found."""
_LETTERS = r"[A-Za-z0-9+/=_-]"
_WORD = re.compile(_LETTERS + f"{{{_LEAST_WORD},}}")
_RUN = re.compile(_LETTERS + f"{{{_LEAST},}}")
_PREFIX = re.compile(r"(?:[A-Za-z]{2,9}\d{0,2}[_-]){1,3}1?")
_BY_LOT = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])")
_LOWER_BESIDE_CAPITAL = re.compile(r"[a-z](?=[A-Z])|[A-Z](?=[a-z])")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{12,}")
_MARKS = re.compile(re.escape(MARK) + r"(?:(?:\s|\\[nr])*" + re.escape(MARK) + ")+")


class Fragments:
    """Knows secrets by value. Safe to use from any thread."""

    def __init__(self, secrets: Iterable[str] = (), keys: Iterable[str] = ()) -> None:
        """Learn them.

        Args:
            secrets: as ``redact`` finds them in texts.
            keys: replaced wherever they stand whole, too, unless they are placeholders such as ``none``.
        """
        self._keys = tuple(key for key in keys if len(key) >= _GRAM and _BY_LOT.match(key))
        words = dict.fromkeys(word for secret in (*self._keys, *secrets) for word in _words(secret))
        self._words = "\n".join(("", *words, ""))
        step = 1 + sum(map(len, words)) // _MOST_GRAMS
        self._places: dict[str, int] = {}
        for at in range(0, len(self._words) - _GRAM, step):
            gram = self._words[at : at + _GRAM]
            if _is_by_lot(gram):
                self._places.setdefault(gram, at)

    def redact(self, text: str) -> str:
        """``text`` with marks in place of keys, and of parts of secrets of ten characters and more."""
        for key in self._keys:
            text = text.replace(key, MARK)
        if not self._places:
            return text
        pieces: list[str] = []
        done = 0
        for start, end in self._found(text):
            pieces += (text[done:start], MARK)
            done = end
        return _MARKS.sub(MARK, "".join((*pieces, text[done:]))) if pieces else text

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where such parts stand, in order."""
        places = self._places
        for run in _RUN.finditer(text):
            at, last = run.start(), run.end() - _GRAM
            while at <= last:
                place = places.get(text[at : at + _GRAM])
                if place is None:
                    at += 1
                    continue
                start, end = self._widened(text, at, place)
                if end - start >= _LEAST:
                    yield start, end
                at = max(at + 1, end)

    def _widened(self, text: str, at: int, place: int) -> tuple[int, int]:
        """The whole of what the text has in common with a word, where both have a gram in common."""
        words, start, end = self._words, at, at + _GRAM
        before, behind = place, place + _GRAM
        while start > 0 and words[before - 1] == text[start - 1] != "\n":
            start, before = start - 1, before - 1
        while end < len(text) and words[behind] == text[end] != "\n":
            end, behind = end + 1, behind + 1
        return start, end


def _words(secret: str) -> Iterator[str]:
    """What of a secret is drawn by lot."""
    if "\n" in secret or "\\n" in secret:  # a key's block, if it is one: code may stand between its first and last line
        lines = [line for line in _KEY_LINE.findall(secret) if _BY_LOT.match(line)]
        letters = len(re.sub(r"\s|\\+.", "", secret))
        if 4 * sum(map(len, lines)) >= 3 * letters:
            yield from lines
        return
    secret = secret[found.end() :] if (found := _PREFIX.match(secret)) else secret
    yield from (word for word in _WORD.findall(secret) if _BY_LOT.match(word))


def _is_by_lot(gram: str) -> bool:
    """Whether nobody would write it but as part of the secret: no word, no number, no line of dashes."""
    if "\n" in gram or len(set(gram)) < 3 or gram.isdecimal():
        return False
    return any(letter.isdecimal() for letter in gram) or len(_LOWER_BESIDE_CAPITAL.findall(gram)) >= 4
