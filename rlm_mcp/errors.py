"""Every error rlm_mcp raises on purpose, in one tree.

::

    RlmError                      anything a caller may want to catch
    |- UsageError                 the caller asked for something that cannot be (a user's mistake)
    |  |- RefError                a Ref that does not parse, or points at nothing
    |  |- QueryError              a query or filter that cannot be run
    |  |- DocumentError           a file that cannot be loaded as a Document
    |  `- SessionNotFound         no Session fits what was asked
    |- TranscriptError            a client's file cannot be read
    |  |- TranscriptMissing       it is not there, or is not a regular file
    |  `- UnknownFormat           it is there, but no Reader knows it
    |- StoreError                 our own files
    |  |- StoreBusy               another process held the write lock too long
    |  |- StoreFull               the disk or quota is full
    |  |- StoreDamaged            log and index disagree; ``rlm-mcp ingest --rebuild`` heals it
    |  `- StoreTooNew             written by a later version of rlm_mcp
    |- ReplError                  a Repl of ours fails (a Cell's own failure is no exception here: it is an answer)
    |  |- JailUnavailable          this machine gives too little to confine Python
    |  |- ReplGone                 what ran Cells had to be ended, or died
    |  `- ReplBusy                 another Cell of the same Session runs
    |- SubLMError                 another model could not be asked, or did not answer
    |  |- SubLMUnavailable         none is set up
    |  |- SubLMBusy                refused for now: worth another try
    |  |- SubLMRefused             refused for good: key, model or prompt
    |  |- SubLMTimeout             the time for it is over
    |  `- Cancelled                whoever asked wants no answer any more
    |- RunEnded                   a Run came to an end without an answer
    |- BudgetExceeded             a limit of calls, tokens, money, time or depth is reached; nothing more was sent
    |- ClientError                a Client program, its settings or its plugin refuse
    `- ProcessError               a child process failed, ran too long or printed too much

Each message names the value (``!r``) and the cure.
"""


class RlmError(Exception):
    """Root of the tree."""


class UsageError(RlmError):
    """The caller's mistake; shown without a traceback."""


class RefError(UsageError):
    """A Ref does not parse or resolves to nothing."""


class QueryError(UsageError):
    """A query, pattern or filter cannot be run."""


class DocumentError(UsageError):
    """A file cannot be loaded as a Document."""

    def __init__(self, message: str, *, why: str) -> None:
        """``why``: the reason alone, short, as it is counted where many files are loaded."""
        super().__init__(message)
        self.why = why


class SessionNotFound(UsageError):
    """No Session fits what was asked for."""


class TranscriptError(RlmError):
    """A client's transcript cannot be read."""


class TranscriptMissing(TranscriptError):
    """The transcript is not there, not a regular file, or not readable."""


class UnknownFormat(TranscriptError):
    """No Reader recognises the file."""


class StoreError(RlmError):
    """Our own files cannot be used."""


class StoreBusy(StoreError):
    """Another process held the store's write lock for too long."""


class StoreFull(StoreError):
    """The disk or quota under the store is full."""


class StoreDamaged(StoreError):
    """Log and index disagree."""


class StoreTooNew(StoreError):
    """The store was written by a later version of rlm_mcp."""


class ReplError(RlmError):
    """A Repl of ours fails; not the Cell that it runs."""


class JailUnavailable(ReplError):
    """This machine gives too little to confine Python."""


class ReplGone(ReplError):
    """What ran Cells had to be ended, or died; its variables are gone with it."""

    def __init__(self, message: str, *, variable: str = "") -> None:
        """``variable``: the one that was being saved or restored then, where that is known."""
        super().__init__(message)
        self.variable = variable


class ReplBusy(ReplError):
    """Another Cell of the same Session is running."""


class SubLMError(RlmError):
    """Another model could not be asked, or did not answer."""


class SubLMUnavailable(SubLMError):
    """No other model is set up."""


class SubLMBusy(SubLMError):
    """Refused for now; another try may help."""

    def __init__(
        self,
        message: str,
        *,
        after_seconds: float | None = None,
        may_be_charged: bool = False,
        is_paid: bool = False,
    ) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
        """When, where the endpoint says it."""
        self.may_be_charged = may_be_charged
        """It was sent whole, and the answer was lost on its way."""
        self.is_paid = is_paid
        """It was answered and charged, and the answer is of no use."""


class SubLMRefused(SubLMError):
    """Refused for good; no other try would help."""

    def __init__(self, message: str, *, model: str = "", is_used_up: bool = False) -> None:
        super().__init__(message)
        self.model = model
        """Every request to this model is refused, whatever it asks: key, model or account is wrong. Empty: this one."""
        self.is_used_up = is_used_up
        """All tokens of the reply were used up before anything was said."""


class SubLMTimeout(SubLMError):
    """The time for it is over."""


class Cancelled(SubLMError):
    """Whoever asked wants no answer any more."""


class RunEnded(RlmError):
    """A question came to an end without an answer, though nothing forbade to go on."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status
        """``steps``, ``no_code``, ``unread`` or ``not_found``."""


class BudgetExceeded(RlmError):
    """A limit is reached; nothing more was sent."""

    def __init__(self, message: str, *, limit: str, may_pass: bool = False) -> None:
        super().__init__(message)
        self.limit = limit
        """Which: ``calls``, ``tokens``, ``usd``, ``seconds`` or ``depth``."""
        self.may_pass = may_pass
        """Only what is reserved for calls under way stands in the way: when they have ended, it may fit."""


class ClientError(RlmError):
    """A Client program, its settings or its plugin refuse."""


class ProcessError(RlmError):
    """A child process failed, ran too long or printed too much."""
