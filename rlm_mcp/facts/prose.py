"""Sentences of prompts and replies: what the user demands or corrects, what was decided, what was asked.

Rules, not understanding: a sentence counts when its wording is one people use for that act. English mainly; the basic
markers of German, French, Spanish, Portuguese, Japanese and Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SENTENCE_CHARS = 1_200
"""A longer sentence is no rule anyone wrote; it is cut here."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, list item or heading with its place in the text, in characters."""

    text: str
    start: int
    end: int
    heading: bool = False


_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_TAGGED = re.compile(r"<(system-reminder|local-command-stdout|command-name|command-message|ide_\w+|bash-\w+|stdout|stderr)>.*?</\1>", re.DOTALL)
_BULLET = re.compile(r"[ \t>]*(?:(?:[-*+\u2022\u25aa\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)]|#{1,6})[ \t]+)*(?:\[[ xX]\][ \t]+)?")
_STOP = re.compile(r"(?<=[.!?\u2026])[\"')\]*_]{0,3}[ \t]+(?=[\"'(\[*_`]{0,3}[A-Z0-9\u00c0-\u00dc/~@#a-z])|(?<=[\u3002\uff01\uff1f])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|resp|incl|excl|no|fig|z\.B|d\.h|bzw|usw|p\.ex|ex|Mr|Dr|St)\.|\b[A-Z]\.)$", re.IGNORECASE)


def outside_code(text: str) -> list[tuple[int, int]]:
    """Spans of ``text`` that are prose: outside fenced code and the Client's own tags."""
    holes: list[tuple[int, int]] = []
    if "```" in text or "~~~" in text:
        opened: re.Match[str] | None = None
        for fence in _FENCE.finditer(text):
            if opened is None:
                opened = fence
            elif fence[1][0] == opened[1][0] and len(fence[1]) >= len(opened[1]):
                holes.append((opened.start(), fence.end()))
                opened = None
        if opened is not None:
            holes.append((opened.start(), len(text)))
    if "</" in text:
        holes += [match.span() for match in _TAGGED.finditer(text)]
    spans: list[tuple[int, int]] = []
    at = 0
    for start, end in sorted(holes):
        if start > at:
            spans.append((at, start))
        at = max(at, end)
    if at < len(text):
        spans.append((at, len(text)))
    return spans


def sentences(text: str) -> Iterator[Sentence]:
    """The sentences of ``text`` outside code, in order; a list item or heading is at least one of its own."""
    for begin, stop in outside_code(text):
        line_start = begin
        while line_start < stop:
            line_end = text.find("\n", line_start, stop)
            line_end = stop if line_end < 0 else line_end
            yield from _of_line(text, line_start, line_end)
            line_start = line_end + 1


def _of_line(text: str, start: int, end: int) -> Iterator[Sentence]:
    bullet = _BULLET.match(text, start, end)
    mark = text[start : bullet.end()] if bullet else ""
    heading = mark.lstrip().startswith("#")
    at = bullet.end() if bullet else start
    begin = at
    for stop in _STOP.finditer(text, at, end):
        if _ABBREVIATION.search(text, max(begin, stop.start() - 12), stop.start()):
            continue
        yield from _trimmed(text, begin, stop.start(), heading)
        begin = stop.end()
    yield from _trimmed(text, begin, end, heading)


def _trimmed(text: str, start: int, end: int, heading: bool) -> Iterator[Sentence]:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    piece = piece.strip()
    if len(piece) > 1:
        piece = piece[:MAX_SENTENCE_CHARS]
        yield Sentence(piece, start, start + len(piece), heading)


def _words(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_FORBID = _words(
    r"\bnever\b|\b(?:do not|don['\u2019]?t|dont)\b(?! (?:know|think|understand|see|remember|get why|have (?:a|any|the)|mind|care|"
    r"you\b|we have|worry|believe|seem|work))|\b(?:must|should|shall|can|could|may|need|ought)(?: not|n['\u2019]?t) (?:be |ever |have |rely|use|do|add|"
    r"change|touch|edit|modify|call|need|break|\w+)|\bmustn['\u2019]?t\b|\bcannot (?:use|be|change|rely|have)\b|\bavoid(?:ing)?\b|"
    r"\bnot allowed\b|\bforbidden\b|\boff[- ]limits\b|\brefrain\b|\bwithout (?:any|using|adding|changing|breaking|touching|"
    r"modifying|introducing|relying|\w+ing) |\bno need (?:to|for)\b|\b(?:leave|keep) .{1,60}\b(?:alone|untouched|as[- ]is|unchanged|intact|as it is)\b|"
    r"^(?:please |and |but |also |so |ok(?:ay)?,? )*(?:no|zero) (?:more |new |extra |external |additional |third[- ]party |unnecessary )?[\w-]+|"
    r"\bstop (?:\w+ing)\b|\b(?:there )?(?:should|must|will|shall) be no\b|\bwith no (?:new|extra|external|other|additional|third)\b|"
    r"\bhands off\b|\bnot (?:use|touch|change|modify|edit|commit|push)\b|\b(?:skip|ignore|exclude|omit) (?:the|all|any|every|tests?|\w+)\b.*\bfor now\b|\bout of scope\b"
)
_REQUIRE = _words(
    r"\bmust\b|\balways\b|\bmake sure\b|\bmake certain\b|\bensure\b|\bbe sure (?:to|that)\b|\b(?:is|are) (?:required|mandatory|essential)\b|"
    r"\b(?:it|this|that|they|there|we|you|these|those|which|everything|tests?|code|\w+s?) (?:needs?|has|have) to\b(?! know)|"
    r"\bshould (?:be|use|have|only|always|also|work|support|return|go|stay|remain|keep|live|contain|include|run|match|follow|take|show|"
    r"come|do|get|never|not|default|accept|handle|read|write|call|fail|pass|still|\w+)\b|\bshall\b|"
    r"\bonly (?:use|change|edit|touch|modify|the|in|if|when|for|allow|run|commit|do|\w+)\b|\bexactly (?:one|once|\d+|the)\b|\bat (?:least|most) \w+|"
    r"\bno (?:more|less|fewer|longer|later) than\b|\b(?:use|prefer) [^.,;]{1,60}?,? (?:not|instead of|rather than|over) \S+|\binstead of\b|\brather than\b|"
    r"^(?:please |and |but |also |so |then )*(?:use|keep|stick (?:to|with)|follow|respect|preserve|maintain|limit|restrict|target|stay|add tests|write tests|remember)\b|"
    r"\bkeep (?:it|the|all|this|them|everything|using|in mind)\b|\b(?:stick|stuck|sticking) (?:to|with)\b|\bnot .{1,40} but\b|\bimportant(?:ly)?:|\bnote:|\bconstraints?:|\brequirements?:|"
    r"\bbackwards?[- ]compatib|\bfrom now on\b|\bgoing forward\b|\bevery time\b|\bbefore (?:you )?(?:commit|push|merg)\w*|\bwe (?:use|only|always|never|do not|don['\u2019]t)\b|"
    r"\b(?:within|under|up to|below|less than|fewer than|max(?:imum)?(?: of)?|min(?:imum)?(?: of)?) \d"
)
_PREFER = _words(
    r"\bprefer(?:s|red|ably|ence)?\b|\bideally\b|\bi['\u2019]?d (?:rather|like|love)\b|\bi would (?:rather|like|love|prefer)\b|\bwould rather\b|"
    r"\bif possible\b|\bi (?:do|also|really|still|only|just) want\b|\bi want (?:it|the|all|every|each|no|only|a single|them|this|everything)\b|"
    r"\bi like (?:it|the|to|when)\b|\btry to\b|\btry not to\b|\b(?:it(?:'s| is|['\u2019]d be| would be)) (?:better|nicer|best|preferable) (?:to|if)\b|\bnice to have\b|\bas (?:simple|small|short|few|little|fast) as possible\b|"
    r"\bplease (?:use|keep|only|always|make|be|follow|stick|limit|include|put)\b"
)
_NOT_A_RULE = _words(
    r"^(?:why|what|how|where|who|which|when|is|are|was|were|does|did|do (?:you|we|i)|should (?:i|we|it)|could (?:i|we)|would (?:it|you)|have you|has|don['\u2019]?t you)\b.*\?$|"
    r"^(?:i|we) (?:don['\u2019]?t|do not|didn['\u2019]?t|can['\u2019]?t|cannot|couldn['\u2019]?t) (?:know|think|see|understand|remember|find|get|have|believe|recall|tell|figure|really|even|seem|want to (?:know|bother))\b|"
    r"\bi (?:think (?:that )?(?:means )?)?i (?:need|have|must)\b"
)
_CORRECTION = _words(
    r"^(?:no|nope|nah|wrong|incorrect|actually|wait|stop|hmm+|huh|ugh|wtf|oops|sorry|hold on|hang on)\b(?:[,.!:\u2014 -]|$)|"
    r"\b(?:that|this|it)(?:['\u2019]s| is| was|['\u2019]s still| is still)? (?:not (?:what|right|correct|true|how|the|it|working|good|quite|necessary|needed|exactly)|wrong|incorrect|broken|a mistake|a bug|still (?:wrong|broken|not|fail))|"
    r"\bnot what i\b|\bi (?:meant|mean|said|asked|told|wanted|specifically|explicitly|already|thou?g[ht]+h?t)\b|"
    r"\byou (?:forgot|missed|misse?d|broke|misunderst|misread|ignored|skipped|removed|deleted|marked|changed|made|introduced|left|added|got|keep|kept|still|overl|should(?:n['\u2019]?t| not)? have|"
    r"did(?:n['\u2019]?t| not)|were supposed|were not|weren['\u2019]?t|are (?:wrong|not|still|using|over)|haven['\u2019]?t|have not|just)\b|"
    r"\b(?:doesn['\u2019]?t|does not|didn['\u2019]?t|did not|isn['\u2019]?t|is not|still not|not|won['\u2019]?t|can['\u2019]?t|no longer) (?:actually |even |really )?(?:work|working|right|correct|what|compile|build|run|pass|help|render|load|fix|fixed|show|start)\w*|"
    r"\bstill (?:fail|broken|get|see|wrong|crash|hang|the same|not|doesn|error|throw|show|happen|have|has)\w*|"
    r"\bwhy (?:did|are|is|do|have|would|does|didn['\u2019]?t|don['\u2019]?t|aren['\u2019]?t)(?:n['\u2019]?t)? (?:you|it|this|that|we|there)\b|\b(?:revert|undo|roll ?back|take (?:that|it) (?:out|back)|put (?:it|that) back)\b|"
    r"\b(?:the |a )?(?:problem|issue|trouble|bug) (?:with (?:this|that|your|the)|is (?:that|still))|\bshould(?:n['\u2019]?t)? have (?:been|used|done)\b|\bbut (?:that['\u2019]?s|it['\u2019]?s|this is|you|it is)\b|"
    r"\binstead of (?:what|the way|doing|using|this|that)\b|\btoo (?:complex|complicated|verbose|long|slow|much|many|big|small|generic|wide)\b|\bi['\u2019]?m not sure (?:if|that|about|why)\b|"
    r"\b(?:is|are) (?:wrong|incorrect|not (?:correct|right|true)|misleading|outdated|unnecessary|overkill)\b|\bmisunderst\w+|\bnot (?:\w+ ){1,4}but (?:rather )?\w+|^(?:not) (?:that|this|the|like)\b|\b\w+ (?:specific )?to \w+ not \w+\b"
)
_SHORT_ORDER = _words(r"^(?:please )?(?:\w+ ){1,4}first[.!]?$")
_REVOKE = _words(
    r"\b(?:forget|ignore|drop|scrap|disregard|never ?mind|scratch) (?:about |what i said about |the |that |my )?|"
    r"\byou (?:can|may) (?:now|again)\b|\b(?:can|may|are allowed to) now\b|\bnow (?:you )?(?:can|may)\b|\b(?:it['\u2019]?s|it is|that['\u2019]?s) (?:ok|okay|fine|alright) (?:now )?to\b|"
    r"\bno longer (?:need|necessary|required|matters?|applies|apply)\b|\b(?:i )?changed my mind\b|\binstead of\b|\blift(?:ed|ing)? the\b|\bon second thought\b|\bafter all\b|\bnot any ?more\b|"
    r"\bvergiss\b|\boublie\b|\bolvida\b|\besque\u00e7a\b"
)
_DECISION = _words(
    r"\b(?:i|we)(?:['\u2019]ve| have)? (?:decided|chose|chosen|opted|settled|picked)\b|\bdecision\b|\b(?:i['\u2019]?m|we['\u2019]?re|i am|we are) (?:going|sticking) (?:with|for)\b|\b(?:going|sticking) with\b|\bopt(?:ed|ing)? for\b|"
    r"\blet['\u2019]?s (?:go with|use|keep|stick|switch|not|skip|drop)\b|\b(?:i|we)(?:['\u2019]ll| will| should)(?: just| simply| instead| therefore| now| keep)? (?:go with|keep|stick|switch to|skip|avoid|leave|default to|rely on|opt|not|treat|model|store|move to|fall back|replace)\b|"
    r"\b(?:i|we)(?:['\u2019]ll| will) (?:use|add|make|put|write|do|take|implement|fix|run|create|handle|change|update|set|build|pass|reuse|remove|return|split|test|apply|define|extend|introduce)\b.*\b(?:because|since|instead of|rather than|so that|so (?:it|we|the)|to avoid|as (?:it|this|that|the)|which (?:is|means|avoids|keeps|lets))\b|"
    r"\binstead of\b|\brather than\b|\b(?:the )?root cause\b|\b(?:real|actual|underlying|core|main) (?:issue|problem|cause|bug|culprit)\b|"
    r"\b(?:the|my) (?:\w+ )?(?:fix|solution|approach|plan|strategy|workaround|culprit|answer|trick|simplest|cleanest|safest|best|right|correct|proper) (?:\w+ ){0,3}(?:is|was|will be|here is|would be)\b|"
    r"\bthe (?:issue|problem|bug|reason|cause|failure|error)(?: here)? (?:is|was) (?:that|because|in|with|the|due|caused|a|likely)\b|\b(?:caused by|due to|happens because|fails? because|failed because|this is because|that['\u2019]?s because|comes from|stems from)\b|"
    r"\b(?:approach|decision|design|rationale|trade-?offs?|fix|root cause|conclusion|recommendation|strategy|reason|resolution|verdict)\*{0,2}:|\btrade-?off\b|\bI recommend\b|\bmy recommendation\b|\b(?:makes|make) (?:more|most) sense\b|\bturns out\b|\bso (?:i|we)(?:['\u2019]ll| will| should)\b|"
    r"\b(?:better|simpler|cleaner|safer) to\b|\b(?:the )?(?:simpler|cleaner|better|safer|simplest|cleanest|best|safest) (?:solution|approach|option|way|fix|path|move)\b|\bto (?:keep|avoid|preserve|stay) .{3,80}, (?:i|we)\b"
)
_USER_DECISION = _words(
    r"^(?:yes|yeah|yep|ok(?:ay)?|sure|right|correct|agreed|perfect|great|good|fine)[,.! ]+(?:\w+ ){0,3}(?:do|go|use|let|please|make|implement|proceed|that|option|with|it|both|all|keep)\b|\bgo (?:with|for|ahead)\b|\bgoing with\b|\blet['\u2019]?s (?:go|use|do|keep|not|stick|try|make|skip|drop|switch|start)\b|"
    r"\b(?:option|approach|choice|variant|alternative|plan|number|solution) (?:#? ?\d+|[a-d])\b|^(?:\d{1,2}|[a-d])[.!)]?$|\b(?:i|we)(?:['\u2019]ve| have)? (?:decided|chose|picked|opted|settled)\b|\b(?:i|we)(?:['\u2019]ll| will| ['\u2019]?re going to| are going to) (?:use|go|keep|stick|switch|take|drop)\b|"
    r"\bi (?:choose|pick|vote|agree)\b|\bdo (?:both|all|the (?:first|second|third|latter|former))\b|\bthe (?:first|second|third|latter|former) (?:one|option|approach)\b|\bsounds good\b|\bwe deprecated\b|\bapproved?\b|^(?:lgtm|ship it|all)[.!]?$"
)
_ROUTINE = _words(
    r"^(?:now )?(?:let me|i['\u2019]ll (?:start|begin|first|now|check|look|review|read|explore|help|search|examine|analyze|create a todo|do that|run|verify|continue|proceed|take a look)|let['\u2019]?s (?:see|check|look|verify|run|start|now|test))\b"
)

_OTHER_LANGUAGES: tuple[tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]], ...] = (
    (
        _words(r"\b(?:der|die|das|und|nicht|ist|ein|eine|bitte|wir|ich|auf|mit|f\u00fcr|auch|werden|soll|kein|keine|wird|den|zu)\b"),
        _words(r"\b(?:darf|d\u00fcrfen|soll|sollen|sollte|kann|muss)\b.*\b(?:nicht|kein\w*|nie)\b|\bniemals\b|\bnie\b|\bkeine?[nmrs]?\b|\bohne\b|\bnicht\b.*\b(?:verwenden|\u00e4ndern|anfassen|benutzen|nutzen|l\u00f6schen|hinzuf\u00fcgen|machen|einbauen|committen|pushen)\b|\b(?:verwende|\u00e4ndere|benutze|nutze|l\u00f6sche|fass)\b.*\bnicht\b|\bvermeide\w*\b|\bverboten\b"),
        _words(r"\b(?:muss|m\u00fcssen|musst|immer|nur|ausschlie\u00dflich|mindestens|h\u00f6chstens|unbedingt|sicherstellen|stelle? sicher|achte darauf|statt|anstatt|anstelle|soll|sollen|sollte|pflicht)\b"),
        _words(r"\b(?:nein|falsch|stimmt nicht|das war nicht|ich meinte|ich meine|funktioniert (?:immer noch )?nicht|geht nicht|geht immer noch nicht|du hast .* vergessen|r\u00fcckg\u00e4ngig|nicht das)\b"),
    ),
    (
        _words(r"\b(?:le|la|les|et|est|une?|pour|dans|pas|que|qui|nous|vous|avec|sur|des|du|ce|il|je|faut|sans)\b"),
        _words(r"\bne\b.*\b(?:pas|jamais|plus|rien)\b|\bn['\u2019]\w+.*\b(?:pas|jamais|plus|rien)\b|\bjamais\b|\bsans\b|\b\u00e9vite\w*\b|\binterdit\b|\bpas de\b|\baucune?\b"),
        _words(r"\b(?:dois|doit|doivent|devez|il faut|toujours|uniquement|seulement|assure-toi|assurez-vous|veille|veillez|obligatoire|au moins|au plus|plut\u00f4t que|au lieu de)\b"),
        _words(r"\b(?:non|faux|incorrect|ce n['\u2019]est pas|\u00e7a ne (?:marche|fonctionne) pas|ne (?:marche|fonctionne) (?:toujours )?pas|je voulais dire|tu as oubli\u00e9|annule|reviens en arri\u00e8re)\b"),
    ),
    (
        _words(r"\b(?:el|los|las|y|es|una?|para|con|por|que|del|se|lo|como|pero|m\u00e1s|esta?|hay|debe|usa|sin)\b"),
        _words(r"\bno (?:uses?|usar|toques?|cambies?|debes?|deben|debe|hagas?|modifiques?|a\u00f1adas?|borres?|puedes?|se (?:debe|puede)|quiero|\w+es|\w+as)\b|\bnunca\b|\bjam\u00e1s\b|\bsin\b|\bevita\w*\b|\bprohibido\b|\bning\u00fan\b|\bninguna\b"),
        _words(r"\b(?:debes?|deben|tiene que|tienen que|hay que|siempre|s\u00f3lo|solo|solamente|\u00fanicamente|aseg\u00farate|obligatorio|al menos|como m\u00e1ximo|en lugar de|en vez de|prefiero)\b"),
        _words(r"\b(?:no, |incorrecto|est\u00e1 mal|eso no|no funciona|sigue sin|sigue fallando|quise decir|quer\u00eda decir|olvidaste|deshaz|revierte)\b|^no[,. ]"),
    ),
    (
        _words(r"\b(?:o|os|as|e|\u00e9|uma?|para|com|por|que|do|da|n\u00e3o|em|se|como|mas|mais|est[\u00e1a]|deve|use|sem)\b"),
        _words(r"\bn\u00e3o (?:use|usar|toque|mude|altere|deve|devem|fa\u00e7a|modifique|adicione|apague|pode|podem|quero|\w+)\b|\bnunca\b|\bjamais\b|\bsem\b|\bevite\b|\bproibido\b|\bnenhuma?\b"),
        _words(r"\b(?:deve|devem|tem que|t\u00eam que|precisa|sempre|apenas|somente|s\u00f3|certifique-se|garanta|obrigat\u00f3rio|pelo menos|no m\u00e1ximo|em vez de|ao inv\u00e9s de|prefiro)\b"),
        _words(r"\b(?:errado|incorreto|isso n\u00e3o|n\u00e3o funciona|continua (?:falhando|sem)|eu quis dizer|voc\u00ea esqueceu|desfa\u00e7a|reverta)\b|^n\u00e3o[,. ]"),
    ),
)  # fmt: skip
_CJK = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_CJK_FORBID = re.compile(r"\u3057\u306a\u3044\u3067|\u3057\u3066\u306f\u3044\u3051|\u7d76\u5bfe\u306b|\u7981\u6b62|\u4f7f\u308f\u306a\u3044|\u306a\u3044\u3053\u3068|\u306a\u3044\u3067(?:\u304f\u3060\u3055\u3044)?|\u4e0d\u8981|\u4e0d\u80fd|\u4e0d\u5f97|\u4e0d\u8bb8|\u8bf7\u52ff|\u5207\u52ff|\u7edd\u4e0d|\u522b(?:\u7528|\u6539|\u52a8|\u52a0)|\u907f\u514d|\u4e0d\u53ef|\u65e0\u9700|\u4e0d\u7528")
_CJK_REQUIRE = re.compile(r"\u5fc5\u305a|\u3079\u304d|\u306a\u3051\u308c\u3070(?:\u306a\u3089|\u3044\u3051)|\u3060\u3051|\u306e\u307f|\u3059\u308b\u3053\u3068|\u3088\u3046\u306b\u3057\u3066|\u5e38\u306b|\u5fc5\u987b|\u53ea\u80fd|\u53ea\u7528|\u4ec5|\u4e00\u5b9a\u8981|\u52a1\u5fc5|\u59cb\u7ec8|\u603b\u662f|\u5e94\u8be5|\u5e94\u5f53|\u4f18\u5148|\u5c3d\u91cf|\u786e\u4fdd|\u4fdd\u6301|\u9700\u8981|\u81f3\u5c11|\u6700\u591a")
_CJK_CORRECTION = re.compile(r"\u9055\u3046|\u9055\u3044\u307e\u3059|\u3058\u3083\u306a\u304f\u3066|\u3067\u306f\u306a\u304f|\u52d5\u304b\u306a\u3044|\u307e\u3060\u30a8\u30e9\u30fc|\u623b\u3057\u3066|\u4e0d\u5bf9|\u9519\u4e86|\u4e0d\u662f(?:\u8fd9|\u6211|\u8bf4)|\u8fd8\u662f(?:\u4e0d|\u62a5\u9519|\u5931\u8d25)|\u6211\u7684\u610f\u601d|\u64a4\u9500|\u56de\u6eda|\u6ca1\u6709(?:\u751f\u6548|\u4fee\u590d)|\u4f60\u5fd8\u4e86|\u6539\u56de")
_ENGLISH = _words(r"\b(?:the|and|is|are|to|of|in|it|you|that|this|for|with|not|please|we|be|on|should|can)\b")


@dataclass(frozen=True, slots=True)
class Language:
    """Which markers apply to a text; None for English and the scripts without Latin letters."""

    forbid: re.Pattern[str] | None = None
    require: re.Pattern[str] | None = None
    correction: re.Pattern[str] | None = None


def language_of(text: str) -> Language:
    """By its small words; English where no other language has clearly more of them."""
    sample = text[:4_000]
    if not sample.isascii() or len(sample) < 400:
        english = len(_ENGLISH.findall(sample))
        best, most = Language(), english
        for small_words, forbid, require, correction in _OTHER_LANGUAGES:
            count = len(small_words.findall(sample))
            if count > most and count >= 2:
                best, most = Language(forbid, require, correction), count
        return best
    return Language()


def rule_of(sentence: Sentence, language: Language) -> str:
    """``forbid``, ``require`` or ``prefer`` of a sentence that states a rule of the user; else empty."""
    text = sentence.text
    if sentence.heading or len(text) < 4 or _NOT_A_RULE.search(text):
        return ""
    if language.forbid is not None and language.require is not None:
        if text.endswith("?"):
            return ""
        return "forbid" if language.forbid.search(text) else "require" if language.require.search(text) else ""
    if not text.isascii() and _CJK.search(text):
        return "forbid" if _CJK_FORBID.search(text) else "require" if _CJK_REQUIRE.search(text) else ""
    if text.endswith("?") and not re.match(r"(?:can|could|would|will) you|please", text, re.IGNORECASE):
        return ""
    if _FORBID.search(text):
        return "forbid"
    if _PREFER.search(text):
        return "prefer"
    if _REQUIRE.search(text) or _SHORT_ORDER.search(text):
        return "require"
    return ""


def is_correction(sentence: Sentence, language: Language) -> bool:
    """Whether the user says that something done or said was wrong."""
    text = sentence.text
    if language.correction is not None:
        return bool(language.correction.search(text))
    if not text.isascii() and _CJK.search(text) and _CJK_CORRECTION.search(text):
        return True
    return not sentence.heading and bool(_CORRECTION.search(text))


def is_revocation(sentence: Sentence) -> bool:
    """Whether the user takes an earlier rule back."""
    return bool(_REVOKE.search(sentence.text))


def is_decision(sentence: Sentence) -> bool:
    """Whether the model says what it decided, found to be the cause, or chose, and why."""
    text = sentence.text
    if sentence.heading or len(text) < 20 or text.endswith((":", "?")) and len(text) < 60:
        return False
    return bool(_DECISION.search(text)) and not _ROUTINE.match(text)


def is_user_decision(sentence: Sentence) -> bool:
    """Whether the user settles a choice."""
    return not sentence.heading and len(sentence.text) <= 400 and bool(_USER_DECISION.search(sentence.text))


def closing_questions(text: str) -> list[Sentence]:
    """Questions in the last lines of a reply: those put to the user."""
    tail = max(0, len(text) - 1_500)
    if "?" not in text[tail:] and "\uff1f" not in text[tail:]:
        return []
    tail = text.find("\n", tail) + 1 if tail else 0
    found = [sentence for sentence in sentences(text[tail:])][-14:]
    last = next((i for i in range(len(found) - 1, -1, -1) if found[i].text.rstrip("*_\"') ").endswith(("?", "\uff1f"))), None)
    if last is None or len(found) - last > 8:
        return []
    return [
        Sentence(s.text, s.start + tail, s.end + tail)
        for s in found
        if s.text.rstrip("*_\"') ").endswith(("?", "\uff1f")) and len(s.text) > 5
    ][-6:]
