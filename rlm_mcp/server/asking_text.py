"""Answers, jobs and Runs as plain text: the same words in the tool and at the command line. Pure.

At the command line an answer stands whole; in a client's Window it is cut, and its Ref is where the rest can be read.
"""

from __future__ import annotations

from dataclasses import replace

from rlm_mcp.recursion.evidence import MAX_QUOTES
from rlm_mcp.recursion.run import OK
from rlm_mcp.server.spent_text import spent_text
from rlm_mcp.text import cut
from rlm_mcp.verbs.ask import AskAnswer, Estimate
from rlm_mcp.verbs.jobs import JobState
from rlm_mcp.verbs.replay import Replayed

_ANSWER_CHARS = 8_000
_PARTIAL_CHARS = 4_000
_QUOTES = 20
_QUOTE_CHARS = 300
_ERROR_CHARS = 1_000

_WHY = {
    "calls": "the limit of calls is reached",
    "tokens": "the limit of tokens is reached",
    "usd": "the limit of money is reached",
    "seconds": "the time is over",
    "depth": "the limit of depth is reached",
    "steps": "it did not come to an end",
    "cancelled": "it was cancelled",
    "model": "the model could not be asked",
    "repl": "the REPL could not run",
    "no_code": "the model wrote no code",
    "unread": "the model answered without having looked",
    "not_found": "the text does not hold it",
}


def answer_text(found: AskAnswer) -> str:
    """The answer with its evidence and cost; or why there is none, and what there was."""
    return "\n".join([*_lines(found), f"[{_cost(found)}]"])


def cut_answer_text(found: AskAnswer) -> str:
    """As :func:`answer_text`, of at most some 16,000 characters: heads and tails, true lengths, where the whole is."""
    shown = replace(
        found,
        answer=cut(found.answer, _ANSWER_CHARS, found.run),
        partial=cut(found.partial, _PARTIAL_CHARS, found.run),
        evidence=tuple(replace(one, quote=cut(one.quote, _QUOTE_CHARS, one.ref)) for one in found.evidence),
    )
    said = found.answer if found.status == OK else found.partial
    is_cut = said not in {shown.answer, shown.partial}
    words = [_cost(found), *([f"{len(said):,} characters, cut; whole: read {found.run}"] if is_cut else [])]
    return "\n".join([*_lines(shown, most_quotes=_QUOTES), f"[{'; '.join(words)}]"])


def job_text(state: JobState) -> str:
    """A job as it is now, cut.

    Raises:
        RlmError: it could not be asked at all, for this reason.
    """
    if state.answer is not None:
        return cut_answer_text(state.answer)
    if state.error is not None:
        raise state.error
    told = (
        f"job {state.id} runs since {state.seconds:.0f} s; {state.told}. "
        f'Go on with other work; job("{state.id}", "wait") waits for it, "cancel" ends it.'
    )
    partial = cut(state.partial, _PARTIAL_CHARS)
    return f"{told}\nwhat it has so far (no answer):\n{partial}" if partial else told


def estimate_text(planned: Estimate) -> str:
    """What a question may cost, in a few lines."""
    if planned.way == "search":
        return "search answers this; it costs nothing"
    price = "price unknown, so the limit of tokens counts" if planned.usd is None else f"${planned.usd:.4f}"
    model = planned.model or "a model"
    if planned.way == "one call":
        what = f"{planned.scope_bytes:,} bytes fit into one call of {model}"
        told = f"{what}: at most {planned.tokens:,} tokens, {price}"
    else:
        told = (
            f"a run over {planned.scope_bytes:,} bytes with {model}: at most {planned.calls:,} calls, "
            f"{planned.tokens:,} tokens, {price}, {planned.seconds:.0f} s; most take a few calls"
        )
    return f"{told}\nnobody is there to be asked yet: {planned.missing}" if planned.missing else told


def replayed_text(found: Replayed) -> str:
    """Whether a Run that was played again came to the same."""
    head = f"{found.then.id} played again in {found.seconds:.1f} s, nobody was asked: "
    if found.is_same:
        what = "the same answer" if found.then.status == OK else "no answer, as then"
        return f"{head}{what}\n{found.now.answer}".rstrip("\n")
    then = found.then.answer or f"no answer ({_WHY.get(found.then.status, found.then.status)})"
    now = found.now.answer or _no_answer(found.now)
    return f"{head}another end\nthen: {then}\nnow: {now}"


def _lines(found: AskAnswer, most_quotes: int = MAX_QUOTES) -> list[str]:
    lines = [found.answer] if found.status == OK else [_no_answer(found)]
    if found.partial and found.status != OK:
        lines += ["what it had by then (no answer):", found.partial]
    checked = [one for one in found.evidence if one.is_verified]
    lines += [f'- "{one.quote}"  {one.ref or one.source}' for one in checked[:most_quotes]]
    if len(checked) > most_quotes:
        lines.append(f"({len(checked) - most_quotes} more quotes: read {found.run})")
    doubtful = len(found.evidence) - len(checked)
    if doubtful:
        what = "1 quote was" if doubtful == 1 else f"{doubtful} quotes were"
        lines.append(f"({what} not found in the data, and left out)")
    return lines


def _no_answer(found: AskAnswer) -> str:
    said = f": {cut(str(found.error), _ERROR_CHARS)}" if found.error is not None else ""
    return f"no answer ({_WHY.get(found.status, found.status)}{said})"


def _cost(found: AskAnswer) -> str:
    run = f"{found.run}; " if found.run else ""
    return f"{run}by {found.way}; {spent_text(found.spent)}"
