"""Data within a prompt, between lines that it cannot hold itself: so nothing in it reads as a line of ours."""

from __future__ import annotations

import hashlib

_LEAST_DIGITS = 4


def set_off(text: str, name: str, about: str = "") -> str:
    """``text`` between ``<name 3f9a about>`` and ``</name 3f9a>``.

    The mark depends on the text alone, so that the same is asked again in the same words, and never stands in it.
    """
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    marks = (digest[:length] for length in range(_LEAST_DIGITS, len(digest) + 1))
    mark = next((mark for mark in marks if mark not in text), digest)
    return f"<{name} {mark}{about and ' '}{about}>\n{text}\n</{name} {mark}>"
