"""Answers, jobs and Runs as plain text: the same words in the tool and at the command line. Pure."""

from __future__ import annotations

from rlm_mcp.recursion.run import OK
from rlm_mcp.server.spent_text import spent_text
from rlm_mcp.verbs.ask import AskAnswer, Estimate
from rlm_mcp.verbs.jobs import JobState

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
    lines = [found.answer] if found.status == OK else [_no_answer(found)]
    if found.partial and found.status != OK:
        lines += ["what it had by then (no answer):", found.partial]
    checked = [one for one in found.evidence if one.is_verified]
    lines += [f'- "{one.quote}"  {one.ref or one.source}' for one in checked]
    doubtful = len(found.evidence) - len(checked)
    if doubtful:
        what = "1 quote was" if doubtful == 1 else f"{doubtful} quotes were"
        lines.append(f"({what} not found in the data, and left out)")
    return "\n".join([*lines, f"[{_cost(found)}]"])


def job_text(state: JobState) -> str:
    """A job as it is now."""
    if state.answer is not None:
        return answer_text(state.answer)
    if state.error is not None:
        return f"{type(state.error).__name__}: {state.error}"
    told = (
        f"job {state.id} runs since {state.seconds:.0f} s; {state.told}. "
        f'Go on with other work; job("{state.id}", "wait") waits for it, "cancel" ends it.'
    )
    return f"{told}\nwhat it has so far (no answer):\n{state.partial}" if state.partial else told


def estimate_text(planned: Estimate) -> str:
    """What a question may cost, in a few lines."""
    if planned.way == "search":
        return "search answers this; it costs nothing"
    price = "price unknown, so the limit of tokens counts" if planned.usd is None else f"${planned.usd:.4f}"
    if planned.way == "one call":
        what = f"{planned.scope_bytes:,} bytes fit into one call of {planned.model}"
        return f"{what}: at most {planned.tokens:,} tokens, {price}"
    return (
        f"a run over {planned.scope_bytes:,} bytes with {planned.model}: at most {planned.calls:,} calls, "
        f"{planned.tokens:,} tokens, {price}, {planned.seconds:.0f} s; most take a few calls"
    )


def _no_answer(found: AskAnswer) -> str:
    said = f": {found.error}" if found.error is not None else ""
    return f"no answer ({_WHY.get(found.status, found.status)}{said})"


def _cost(found: AskAnswer) -> str:
    run = f"{found.run}; " if found.run else ""
    return f"{run}by {found.way}; {spent_text(found.spent)}"
