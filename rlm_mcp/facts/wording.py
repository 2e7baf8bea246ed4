"""How people word rules, corrections, revocations and decisions: patterns over single English sentences.

Each pattern wants the wording of the act itself (an order, a "must", "that's wrong", "I'll go with"), not of a report
that mentions the same words ("the cache is never read", "which only works for X"). They are matched against the
sentence in small letters with straight apostrophes.
"""

from __future__ import annotations

from rlm_mcp.facts.languages import Language, is_foreign_correction, rule_of_cjk, rule_of_foreign
from rlm_mcp.facts.patterns import lazy
from rlm_mcp.facts.prose import Sentence

_NOT = r"(?:\bdo not|\bdon'?t|\bdont)\b"
_OPENING = (
    r"^[\W_]*+(?:(?:please|pls|and|but|also|so|then|now|ok(?:ay)?|just|again|finally|instead|first|next|yes|no|"
    r"remember|note(?: that)?|"
    r"important(?:ly)?|(?:can|could|would|will) you(?: please| also| just)*|you (?:should|must|need to|have to|can|"
    r"may)|we (?:should|must|need to|have to)|i (?:want|need|would like|'d like) you to|"
    r"let'?s|make sure (?:to|you)|be sure to|try to|when [^,]{1,60},|if [^,]{1,60},|for [^,]{1,60},|"
    r"before [^,]{1,60},|after [^,]{1,60},)[\W_]++)*+"
)
_VERB = (
    r"(?:add|adjust|allow|answer|append|apply|ask|avoid|base|build|bump|call|change|check|clean|commit|compare|"
    r"configure|convert|copy|cover|create|"
    r"cut|debug|default|define|delete|deploy|describe|disable|display|document|drop|edit|enable|ensure|exclude|expand|"
    r"explain|export|extend|extract|"
    r"fetch|find|finish|fix|focus|follow|format|generate|give|go|group|handle|hide|ignore|implement|import|improve|"
    r"include|increase|inline|insert|install|"
    r"integrate|investigate|keep|leave|limit|link|list|load|log|look|maintain|make|mark|match|merge|migrate|mock|"
    r"modify|move|name|open|optimi[sz]e|pass|pick|"
    r"port|prefer|preserve|print|provide|publish|push|put|read|rebase|reduce|refactor|refer|release|remove|rename|"
    r"render|replace|report|respect|respond|restrict|"
    r"return|reuse|review|rewrite|run|save|send|separate|set|ship|show|simplify|skip|sort|split|start|stay|stick|stop|"
    r"store|summari[sz]e|support|switch|"
    r"sync|take|target|tell|test|think|touch|track|treat|turn|update|upgrade|use|validate|verify|wait|work|wrap|write)"
)
_IMPERATIVE = lazy(_OPENING + _VERB + r"\b(?!'s|ing| is | are | was )")
_DEMAND = lazy(r"\b(?:must|should|shall|has to|have to|needs? to|want)\b")

_FORBID = lazy(
    rf"(?<!\bi )(?<!\bwe )(?<!\bthey )(?<!\bthat )(?<!\bwho )(?<!\busers )(?<!\bwhich )(?<!why )(?<!\bthese "
    rf")(?<!\bthose ){_NOT}"
    r"(?! (?:know|think|understand|see|remember|get why|mind|care|you\b|worry|believe|seem|exist|match|work\b|appear|"
    r"support))",
    rf"\bwe {_NOT} (?:use|want|allow|commit|ship|do|add|touch|mock|write|merge|push|need|care)\b|\bwe never\b",
    rf"\bi (?:really )?{_NOT} (?:want|like|need|wish)\b",
    r"\b(?:must|should|shall|may|need|ought)(?: not|n'?t)(?: (?!be (?:too )?(?:hard|difficult|a problem|an issue))\w+)",
    r"\b(?:you|we|it|this|they|code|tests?|api|app|service|agents?) (?:can(?:not|'?t| not))(?: be)? (?:use|chang|rely|"
    r"break|touch|modif|add|depend|access|exceed|install|remov|delet|edit|import|call|require|assume)\w*",
    r"(?:^|[,;:(\u2013\u2014-] ?|\b(?:and|but|you|we|should|must|will|can|please|to|may|also|or|i want|"
    r"it) )never\b(?! (?:mind|ending|been|had|got|gets|works|worked|happens|seen|saw|heard|reached|called|used|fires|"
    r"runs))",
    r"\bnot allowed\b|\bforbidden\b|\boff[- ]limits\b|\bprohibited\b|\brefrain from\b|\bhands off\b|\bout of scope\b",
    r"\b(?:leave|keep) .{1,60}\b(?:alone|untouched|as[- ]is|unchanged|intact|as it is|as they are)\b",
    r"^(?:please |and |but |also |so |ok(?:ay)?,? |[\W_])*+(?:no|zero) (?!need\b|idea|problem|worries|clue|one\b|"
    r"matter|it\b|that|you\b|i\b|this\b|the\b|wait|not\b|way\b|doubt|longer|more questions|luck|such|errors?\b|"
    r"changes? (?:were|was)|issues? (?:were|found))[a-z][\w-]*",
    r"[,;] (?:and )?no (?!need\b|problem|worries|idea|clue|matter|wait|longer|doubt|rush|one\b|way\b|it\b|that\b|"
    r"this\b)[a-z][\w-]*(?: [\w-]+){0,2}[.!]*$|\bno need (?:to|for)\b|\bthere (?:should|must|will|shall) be no\b|"
    r"\bwith no (?:new|extra|external|other|"
    r"additional|third)\b|\bstop (?!and\b|the (?:server|process|app|service)|at\b|when\b|if\b)\w+ing\b",
    r"^(?:please )?avoid\b|\b(?:to|and|should|must|please|also|you|we) avoid\b|\bavoid (?:using|adding|any|creating|"
    r"changing|introducing)\b",
    r"\bnot (?:use|touch|change|modify|edit|commit|push|add|delete|remove|install)\b(?! (?:by|in|any ?more))",
    r"\b(?:does|should|did)(?: not|n'?t) (?:need|require) (?:any|a|to|core|new)\b",
)
_WITHOUT = lazy(
    r"\bwithout (?:any|using|adding|changing|breaking|touching|modifying|introducing|relying|losing|\w+ing|new|extra|"
    r"external)\b"
)
_REQUIRE = lazy(
    r"(?<!\bi )\bmust\b(?! (?:have been|be (?:because|something|a bug|missing|wrong)))|\bmake (?:sure|certain)\b|"
    r"\bbe sure (?:to|that)\b|(?:^|\b(?:please|to|must|should|and|also|you|we) )ensure\b",
    r"\b(?:is|are) (?:required|mandatory|essential|a must)\b(?! by)|\bis important (?:that|to)\b",
    r"(?:^|[.,;:] ?|\b(?:and|but|also|so|then|because) )(?:it|this|that|they|there|we|you|these|those|"
    r"everything) (?:also |still |just |only )?(?:needs?|has|have) to\b(?! know)",
    r"\b(?!i\b|me\b|info\b|what\b|you\b|we\b|they\b|all\b|nothing\b)\w+s? (?:also |just |still |only )?"
    r"(?:needs?|has) to (?!know\b|happen\b)\w+|^needs? to be\b",
    r"(?<!\bi )(?<!\bwe )\bshould (?:be|use|have|only|always|also|work|support|return|go|stay|remain|keep|live|"
    r"contain|include|run|match|follow|take|show|come|do|get|default|accept|handle|read|write|call|"
    r"fail|pass|still|just|look|open|close|send|save|store|start|stop|load|add|create|display|allow|give|make|trigger|"
    r"update|print|log|exit|raise|throw|end|reset|apply|require|happen|appear|cover|produce|take)\b",
    r"\bwe should (?:only|always|also|use|keep|support|never|not)\b|\bshall\b(?! (?:i|we)\b)",
    r"(?:^|[,;:(\u2013\u2014-] ?|\b(?:and|but|you|we|should|must|please|also|to|it) )always\b(?! (?:been|had|get|gets|"
    r"got|fails?|crash|return(?:s|ed)|happens|works|worked))",
    rf"\b{_VERB} (?:[\w`'./-]+ ){{0,6}}only\b(?! (?:one|if i))|^[\W_]*(?:please )?only\b|\b(?:should|must|may|can|to|"
    rf"please|and|but) only {_VERB}\b",
    r"\b(?:use|prefer|run|take|call|choose|pick|try|write) [^.;]{1,70}?,? (?:not|instead of|rather than|over|"
    r"and not) (?!sure\b)\S+",
    r"\bfrom now on\b|\bgoing forward\b|\bbackwards?[- ]compatib|\bat all times\b|\bno matter what\b|\bin all cases\b|"
    r"\bno (?:more|less|fewer|later) than \d",
    r"^[\W_]*(?:important|note|constraints?|requirements?|rules?|conventions?|nb|remember|caution|"
    r"warning)\b[\W_]{0,3}:(?! *$)",
    r"(?:^|, |\b(?:always|please) )(?:before|after) (?:you |every |each )(?:commit|push|merg|edit|chang|run)\w*|"
    r"\bevery (?:commit|pr|pull request|change|file|function|test|public|endpoint|new)\b.{0,40}\b(?:must|should|"
    r"needs?|has to|gets?)\b",
    r"\bwe (?:deprecated|dropped|no longer|stopped|moved (?:to|away))\b|\b(?:i expect|is expected to|are expected to|"
    r"it'?s (?:important|critical|crucial|essential)|the (?:rule|"
    r"convention|pattern|requirement|constraint) (?:is|was))\b",
    r"\b(?:separately|one at a time|one by one|step by step|individually)[.!]?$|\bstick (?:to|with)\b|\bkeep (?:it|"
    r"this|them|everything|things|in mind|using|all|your|each)\b",
)
_BOUND = lazy(
    r"\b(?:within|under|up to|below|less than|fewer than|more than|at most|at least|max(?:imum)?(?: of)?|"
    r"min(?:imum)?(?: of)?|exactly|no longer than) (?:the )?[\d<>\u2264\u2265~]+"
)
_LASTING = lazy(
    r"\binstead of\b|\brather than\b|\bexactly (?:one|once|the same)\b|\bno (?:longer|more)\b|\bat (?:least|"
    r"most) (?:one|two|three|once)\b"
)
_STANDING_VERB = lazy(
    _OPENING + r"(?:keep|stick|follow|respect|preserve|maintain|limit|restrict|stay|prefer|leave|treat|reuse|ensure|"
    r"use (?!case))\b"
)
_PREFER = lazy(
    r"\b(?:i|we|i'd|we'd|would|strongly) (?:\w+ )?prefer\b|^(?:please )?prefer\b|\bpreferabl[ye]\b|\bideally\b|"
    r"\bi'?d (?:rather|love)\b|\bi would (?:rather|love|like it)\b|\bwould rather\b|\bmy preference\b",
    r"\bif possible\b|\bi (?:do|also|really|still|only|just) (?:really )?want\b(?! to (?:know|ask|see|understand|"
    r"check))|(?<!what )(?<!if )(?<!when )\bi want\b(?! (?:you )?to (?!use|keep|avoid|be able|have|support|stay|"
    r"only|always|never|"
    r"make sure|stick|preserve|limit|minimi[sz]e|leave|prefer))|"
    r"\bwhat i want is\b|\bi need (?:it|this|that|the|a|an|all|to (?:use|be able|support|keep|have))\b",
    r"(?:^|[,;:] |\b(?:please|and|but|also) )try (?:not to|to (?:avoid|keep|use|stick|minimi[sz]e|be|limit|"
    r"preserve|prefer|"
    r"reuse|follow|stay|make|have|not|only|always))\b|\bnice to have\b|\bas (?:simple|small|short|few|little|"
    r"fast|minimal|concise|"
    r"close) as possible\b|\bi like (?:it|the|to|when)\b",
)
_DONE_WELL = lazy(
    r"^(?:[\W_]|and |please |also )*make sure (?:that )?(?:this|that|it|everything|all of (?:this|it))(?:'s| is| are)? "
    r"(?:all )?(?:implemented|works?|working|functional|done|fixed|correct|complete|included)\b",
    r"^there should be an? \w",
)
"""Words of a rule that only ask for this one thing, done well."""
_BUILD = lazy(
    r"^(?:[\W_]|ok(?:ay)?,? |so |now |then |please |can you |could you |let'?s |i want (?:you )?to |"
    r"before [^,]{1,60}, )*"
    r"(?:make|create|write|build|implement|generate|ingest)(?: me)? (?:an?|some|another|the)\b(?!.*\b(?:must|"
    r"never|always|only|"
    r"not|n't|no|without|at (?:least|most)|instead)\b)(?!.*n't\b)(?!.*\d)"
)
_SPECIFIES = lazy(
    r"\bfor now,? .{0,60}\b(?:no|only|just|have|keep|skip|use|without)\b|\blet'?s only\b|"
    r"\bmake it so (?:that )?there (?:is|are|"
    r"should be) no\b|\bno other \w+ than\b|\bpurely (?:for|an?|visual|cosmetic|internal|decorative)\b|"
    r"\bthis is only for\b|\blet'?s have .{3,80}\binstead of\b",
    r"\b(?:each|every|all|any|per) (?:[\w-]+ ){1,6}(?:has|have|gets?|takes?|lasts?|is|are|costs?|stays?|expires?|"
    r"runs?) "
    r"(?:[\w-]+ ){0,5}\d[\d.,]* ?(?:ms|s|sec\w*|min\w*|hours?|days?|%|px|kb|mb|gb|requests?|retries|attempts|"
    r"items|rows|"
    r"columns|lines|characters|times)(?![\w-])(?! (?:ago|old))",
)
"""Specifications: what something is, for now or exactly."""
_QUESTION_OPENING = lazy(
    r"^(?:[\W_]|and |but |so |also |hmm,? |ok(?:ay)?,? )*(?:why|what|what's|how|where|who|which|when|is|are|was|were|"
    r"does|did|do|should|have|has|isn'?t|aren'?t|doesn'?t|didn'?t|don'?t you|would it|wouldn'?t|am i|any idea|"
    r"could it|might)\b"
)
_ASKED_TO = lazy(r"^(?:[\W_]|and |but |also |so |ok(?:ay)?,? )*(?:can|could|would|will) you\b|\bplease\b")
_UNSURE = lazy(
    r"\b(?:whether|what|how|why|which|if (?:i|we|you)|that) (?:[\w`']+ ){0,8}should\b|\bi was told\b|\bi'?m not sure\b",
    r"^(?:so |and |but )*i (?:would )?(?:have|need|must)\b|\bprobably\b|\bused to\b|\bsupposed to\b",
)
_SHORT_ORDER = lazy(r"^(?:please )?(?:\w+ ){1,4}first[.!]?$")


def _plain(text: str) -> str:
    return text.lower().replace("\u2019", "'")


def rule_of(sentence: Sentence, language: Language) -> str:
    """``forbid``, ``require`` or ``prefer`` of a sentence that states a rule of the user; else empty."""
    text = sentence.text
    if sentence.heading or len(text) < 4 or text[0] == "|":
        return ""
    foreign = rule_of_foreign(text, language)
    if foreign is None:
        foreign = rule_of_cjk(text)
    return _rule_of_english(_plain(text)) if foreign is None else foreign


def _rule_of_english(text: str) -> str:
    asks = text.endswith("?") and (_QUESTION_OPENING.match(text) or not _ASKED_TO.search(text))
    if asks or _DONE_WELL.match(text):
        return ""
    imperative = _IMPERATIVE.match(text) is not None
    if _FORBID.search(text) or (imperative and _WITHOUT.search(text)) or _demanded_without(text):
        return "forbid"
    if _PREFER.search(text):
        return "prefer"
    if _UNSURE.search(text) or _BUILD.match(text):
        return ""
    standing = _REQUIRE.search(text) or _STANDING_VERB.match(text) or _SHORT_ORDER.search(text)
    bounded = (imperative or _DEMAND.search(text)) and (_BOUND.search(text) or _LASTING.search(text))
    return "require" if standing or bounded or _SPECIFIES.search(text) else ""


def _demanded_without(text: str) -> bool:
    return "without" in text and bool(_WITHOUT.search(text)) and bool(_DEMAND.search(text))


_CORRECTION = lazy(
    r"^(?:[\W_]|so |and |but |hey,? |hmm+,? )*(?:no|nope|nah|wrong|incorrect|actually|wait|huh|ugh|wtf|oops|hold on|"
    r"hang on|that'?s not|not (?:that|this|the|like|quite|what|yet|really))\b(?:[,.!:;\u2014 -]|$)(?! (?:need|problem|"
    r"worries|idea)\b)",
    r"\b(?:that|this|it|which|they|these)(?:'s|'re| is| are| was| were)?(?: still| just| also|"
    r" actually)? (?:not (?:what|right|correct|true|how|the (?:right|case|point|issue|problem)|it\b|working|good|"
    r"quite|necessary|needed|exactly|enough|ok)|wrong|incorrect|broken|a mistake|backwards|unacceptable)\b",
    r"\b(?:does|should|did)(?: not|n't) (?:need|require) (?:any|a|to|core|new)\b|\bno longer (?:supported|used|"
    r"exists?|valid|needed)\b|"
    r"\bare you (?:sure|confident|certain)\b|\bdid you (?:actually|even|really|check|verify)\b|\bnot what i\b|"
    r"\bi (?:meant|mean|didn'?t (?:ask|want|say|mean)|never (?:asked|said|wanted)|said|asked (?:you|"
    r"for)|told you|specifically (?:said|asked)|explicitly|already (?:said|told|asked))\b|\bi tho?u?g[ht]+ (?:the|it|"
    r"this|that|you|we|i)\b",
    r"\byou (?:forgot|missed|misse?d|broke|misunderst\w*|misread|ignored|overlooked|marked|messed|introduced|left out|"
    r"got (?:it|that|this)|kept|keep|still|should(?:n'?t| not)? have|did(?:n'?t| not)|were supposed|weren'?t|"
    r"are (?:wrong|still|over\w+|not )|'re (?:wrong|still|over\w+|not )|haven'?t|have not|removed|deleted|changed|"
    r"skipped|added|put|used|made|wrote|hardcoded|renamed) ?",
    r"\b(?:doesn'?t|does not|didn'?t|did not|isn'?t|still not|not|won'?t|no longer|don'?t|aren'?t) (?:actually |even |"
    r"really |properly |seem to |seem to be )?(?:work(?:s|ing)?|right|correct(?:ly)?|compile|build|render|help|fixed|"
    r"fix it|change|update|adhere|apply|match|respect|make sense|load|save|fit|handle|used|do anything|do what)\b",
    r"\byou (?:\w+ )?(?:fucked|screwed|botched|ruined|destroyed|undid)\b|\bi (?:undid|reverted|restored) (?:your|the|"
    r"that|"
    r"it)\b|\btry again\b|\b(?:is|are|got|all) (?:\w+ )?(?:fucked|messed|screwed)(?: up)?\b|\bwtf\b|\b(?:exploded|"
    r"blew up|crashed)\b|\bgot (?:a|an) (?:\w+ )?(?:crash|error|exception|panic)\b|\b(?:is|are|was|'s) actually\b|"
    r"^[\W_]*what about\b|\b(?:like|the way) (?:that|it|this)(?: was| were)?(?: before)? again\b|"
    r"\b(?:is|are|'s|was) (?:still )?(?:missing|lacking)\b|\b(?:can|should|could) (?:undo|revert)\b|"
    r"^[\W_]*well, i think\b|"
    r"\bdon'?t (?:think|believe) .{1,60}\b(?:works?|right|correct(?:ly)?|true)\b",
    r"\bstill (?:fail|look|broken|get|see|wrong|crash|hang|the same|not|doesn|error|throw|show|happen|having|has the|"
    r"have the|there|red|buggy)\w*",
    r"\bwhy (?:did|are|is|do|have|would|does|didn'?t|don'?t|aren'?t|isn'?t) (?:you|it still|this still|that still|"
    r"there still)\b|(?:^|\b(?:please|and|then|just|so) )(?:revert|undo|roll ?back|restore)\b|\b(?:put|change|bring|"
    r"take) (?:it|that|this|them) (?:back|out)\b",
    r"\b(?:the |a |another )?(?:problem|issue|trouble|bug) (?:with (?:this|that|your|the)|is (?:that|still))|"
    r"\bshould(?:n'?t)? have (?:been|used|done|gone|kept)\b|\bbut (?:that'?s|it'?s|this is|it is|that is) (?:not|"
    r"still|actually|a |wrong|only|too)",
    r"\btoo (?:complex|complicated|verbose|long|slow|much|many|big|small|generic|wide|narrow|aggressive|early|late|"
    r"noisy|clever)\b|\bi'?m not sure (?:if|that|about|why)\b|\b(?:crash|hang|freez|break)(?:s|es|ing)\b",
    r"\b(?:is|are|was|were|looks?|seems?) (?:wrong|incorrect|not (?:correct|right|true)|misleading|outdated|"
    r"unnecessary|overkill|off|broken)\b|\b(?:doesn'?t|does not|don'?t|didn'?t|did not) (?:look|seem|sound|feel)\b|"
    r"\bchanged my mind\b|\bnothing (?:happens|changed|shows|works)\b|\bi (?:still )?(?:don'?t|do not|can'?t|"
    r"cannot) see\b|\bdoesn'?t see\b|"
    r"\bshould still\b|\b(?:last|previous|latest) (?:change|edit|commit|version) (?:\w+ )?(?:removed|broke|messed|"
    r"undid|lost|"
    r"deleted|reverted)\b|\bmess(?:ed|es) up\b|\bstill getting\b|\(?\bcurrently,|\bi want\b.*[ ,]not \w|"
    r"\bmisunderst\w+|\bto \w+ not \w+\b|\bnot \w+ to \w+\b|\binstead of (?:what i|"
    r"doing what|the way i)\b|\bthat broke\b|\bbroke the\b|\bregress\w+",
)  # fmt: skip


def is_correction(sentence: Sentence, language: Language) -> bool:
    """Whether the user says that something done or said was wrong."""
    text = sentence.text
    foreign = is_foreign_correction(text, language)
    if foreign is not None:
        return foreign
    if sentence.heading or text[0] == "|":
        return False
    text = _plain(text)
    if text.endswith("?") and _ASKED_TO.match(text) and not _STATED_WRONG.search(text):
        return False
    return bool(_CORRECTION.search(text) or _SHORT_ORDER.search(text))


_STATED_WRONG = lazy(r"\b(?:wrong|undo|revert|fix|still|not|n't)\b|n't\b")
_REVOKE = lazy(
    r"^(?:[\W_]|and |but |so |ok(?:ay)?,? |actually,? |please )*(?:forget|ignore|drop|scrap|disregard|never ?mind|"
    r"scratch)\b(?! (?:errors?|warnings?|case|whitespace|files?|the (?:tests?|warnings?|errors?|file)))",
    r"\byou (?:can|may) (?:[\w`./-]+ ){0,8}(?:now|again|after all)\b|\byou(?:'re| are) (?:now )?allowed to\b|"
    r"\bnow (?:you )?(?:can|"
    r"may)\b|\b(?:it'?s|it is|that'?s) (?:now )?(?:ok|okay|fine|alright|allowed) (?:now )?to\b|"
    r"\bis (?:now )?(?:allowed|ok|okay|fine)(?: now| again| after all)?\b",
    r"\bno longer (?:need|necessary|required|matters?|applies|apply|have to)\b|\b(?:i )?changed my mind\b|\blift(?:ed|"
    r"ing)? the\b|\bon second thought\b|\bafter all\b|\bnot any ?more\b|\bdoesn'?t (?:matter|apply) any ?more\b",
    r"\binstead of [\w`./-]+,? (?:use|do|take|go|run|make)\b|\b(?:use|switch to|go with|take|make it|set it to|"
    r"change it to) [^.,;]{1,60} instead\b|\binstead,? (?:use|of)\b",
    r"\b(?:vergiss|oublie[zs]?|olvida|esque\u00e7a)\b",
)


def is_revocation(sentence: Sentence) -> bool:
    """Whether the user takes an earlier rule back."""
    return bool(_REVOKE.search(_plain(sentence.text)))


_DO = (
    r"(?:add|make|put|write|do|take|implement|fix|create|handle|change|update|set|build|pass|reuse|remove|return|"
    r"split|apply|define|extend|introduce|use|move|replace|wrap|cache|store|treat|keep|skip|leave|delete|drop|rename|"
    r"convert|merge)"
)
_BECAUSE = (
    r"\b(?:because|since|instead of|rather than|so that|to avoid|to keep|as (?:it|this|that) |which (?:is|means|"
    r"avoids|keeps|lets)|given that|so that )\b"
)
_DECISION = lazy(
    r"\b(?:i|we)(?:'ve| have)? (?:decided|chose|chosen|opted|settled|picked)\b|\b(?:i'?m|we'?re|i am|we are) (?:going|"
    r"sticking) (?:with|for)\b|\b(?:going|sticking) with\b|\bopt(?:ed|ing)? for\b",
    r"\blet'?s (?:go with|use|keep|stick|switch|not|skip|drop)\b|\b(?:i|we)(?:'ll| will| should)(?: just| simply|"
    r" instead| therefore| now| keep| not)* (?:go with|keep|stick|switch (?:\w+ ){0,2}(?:to|from)|skip|avoid|"
    r"leave|default to|rely on|opt|"
    r"treat|model|fall back|replace|not)\b",
    rf"\b(?:i|we)(?:'ll| will|'m going to|'m| am)(?: just| simply| also)* {_DO}\b.*{_BECAUSE}|\b(?:i'm|we're|i am|"
    rf"we are)(?: just| simply| also)* \w+ing\b.*\b(?:because|instead of|rather than|since)\b|\b(?:because|since|"
    rf"given) [^.]{{3,160}}, (?:i|we)(?:'ll| will) {_DO}\b",
    r"\b(?:i|we) (?:used|kept|added|chose|left|made|switched|skipped|went with|removed|replaced|moved|implemented|"
    r"put) [^.]{2,160}\b(?:because|since|rather than|so that|to avoid|instead of)\b",
    r"\broot cause\b|\b(?:real|actual|underlying|core|main) (?:issue|problem|cause|bug|culprit)\b|\bthe culprit\b",
    r"\b(?:the|my) (?:fix|solution|workaround|trick|approach|strategy) (?:here )?(?:is|was|will be|would be)\b|"
    r"\b(?:the|a|one) (?:simple|simpler|simplest|clean|cleaner|cleanest|safe|safer|safest|best|better|right|correct|"
    r"proper|minimal|quickest|easiest|more robust|most robust)(?: \w+){0,2} (?:fix|solution|approach|option|way|path|"
    r"move|place|choice|design)(?: here| for now| forward| for \w+)? (?:is|was|would be|will be)\b|\b(?:take|use|"
    r"go with|choose|prefer|follow) the (?:simple|simpler|simplest|clean|cleaner|cleanest|safe|safer|safest|"
    r"minimal) \w+",
    r"\bthe (?:issue|problem|bug|reason|cause|failure|error)(?: here)? (?:is|was) (?:that|because|in|with|the|due|"
    r"caused|a|likely|how|an)\b|\b(?:caused by|fails? because|failed because|failing because|happens because|"
    r"this is because|that'?s because|comes from|stems from|is due to|was due to)\b",
    r"^[\W_]*(?:\w+ )?(?:approach|decision|rationale|trade-?offs?|fix|root cause|cause|conclusion|recommendation|"
    r"strategy|reason|resolution|verdict|chosen|solution|why)[*_]{0,3}:[*_]{0,3} ?\S|\btrade-?off\b|\b(?:i|"
    r"i'd) recommend\b|\bmy recommendation\b|\b(?:makes|make) (?:more|most) sense\b|\bturns out\b",
    r"\bso (?:i|we)(?:'ll| will| should)\b|\bfall(?:s|ing)? back to (?:a|an|the)\b|\bshould be treated as\b|"
    r"^let me just \w+ .*\b(?:to avoid|instead|since|because|rather)\b|\b(?:better|simpler|cleaner|safer) to\b|\b(?:i|"
    r"we) (?:will|should|must|"
    r"can) not\b|\bdecision (?:is|was)\b|\b(?:i|we)(?:'ll|'m|'ve)? [^.]{2,80}\brather than (?:a|the|\w+ing)\b",
)  # fmt: skip
_ROUTINE = lazy(
    r"^[\W_]*(?:(?:now|next|first|then|good|great|perfect|excellent|ok(?:ay)?|"
    r"alright)[,.!: ]+)*(?:let me (?!just (?:remove|disable|use|keep|skip|drop|make|treat|switch|set|replace|move|"
    r"inline))|"
    r"i'll (?:start|begin|first|now|check|look|review|read|explore|help|search|examine|analy[sz]e|create a (?:todo|"
    r"task)|do that|run|verify|continue|proceed|take a look|inspect|pull)|"
    r"i'm (?:also |now |just )*(?:looking|checking|reading|running|inspecting|searching|verifying|pulling|waiting|"
    r"going to (?:check|read|look|run|inspect|verify|confirm|follow|start|begin|search))|"
    r"let'?s (?:see|check|look|verify|run|start|now|test))\b",
    r"^[\W_]*(?:\u2705|\u2713|\u2714)|\bso (?:i|we)(?:'ll| will) (?:load|read|check|look|inspect|verify|run|re-?run|"
    r"confirm|open|list|search|start|continue|wait|poll|see|try again|need)\b",
)


_DECISION_NEEDLES = (
    "decid", "chose", "opt", "settled", "picked", "going", "sticking", "let's", "'ll ", " will ", "should", "because",
    "since", "instead", "rather", "root cause", "issue", "problem", "culprit", "fix", "solution", "approach", "way ",
    "path ", "strategy", "trick", "workaround", "design ", "choice", "reason", "cause", "failing because", "trade",
    "recommend", "sense", "turns out", "better", "simpler", "cleaner", "safer", "must not", "can not", "due to",
    "comes from", "stems from", "decision", "fall back", "falling back", "falls back", "treated as",
    "let me just", "rationale", "conclusion", "verdict", "avoid", "why",
)  # fmt: skip
"""One of them stands in every decision; most sentences have none."""


def decision_hints(text: str) -> tuple[str, ...]:
    """The telling words of decisions that stand in a whole reply."""
    plain = _plain(text)
    return tuple(needle for needle in _DECISION_NEEDLES if needle in plain)


def is_decision(sentence: Sentence, hints: tuple[str, ...] = _DECISION_NEEDLES) -> bool:
    """Whether the model says what it decided, found to be the cause, or chose, and why.

    ``hints``: what :func:`decision_hints` gave for the text around it.
    """
    text = sentence.text
    if sentence.heading or len(text) < 20 or text[0] == "|" or text.rstrip("*_ ").endswith(("?", "\uff1f")):
        return False
    text = _plain(text)
    if not any(needle in text for needle in hints):
        return False
    if _SUPPOSES.match(text) and not _WILL.search(text):
        return False
    return bool(_DECISION.search(text)) and not _ROUTINE.search(text)


_SUPPOSES = lazy(r"(?:[\W_]|so |and |but |also )*(?:even )?if\b")
_WILL = lazy(r"\b(?:i|we)(?:'ll| will|'m| am|'ve| have)\b|\blet'?s\b|\brecommend|\bdecid|\broot cause\b")


_USER_DECISION = lazy(
    r"^(?:yes|yeah|yep|yup|sure|agreed)[,.! ]+(?:\w+ ){0,3}(?:do|go|use|let|please|implement|proceed|that|option|"
    r"with|it|both|all|keep)\b|^(?:ok(?:ay)?|right|correct|perfect|great|good|fine)[,.! ]+(?:then )?(?:go|use|do (?:it|"
    r"that|both|all)|proceed|keep|let'?s go)\b|\bgo (?:with|for|ahead)\b|"
    r"\bgoing with\b|\blet'?s (?:go with|use|do|keep|not|stick|make|skip|drop|switch|have|leave)\b|"
    r"\blet'?s .{3,80} instead\b",
    r"\b(?:option|approach|choice|variant|alternative|number|solution) (?:#? ?\d+|[a-d])\b|^(?:\d{1,2}|[a-d])[.!)]?$|"
    r"\b(?:i|we)(?:'ve| have)? (?:decided|chose|picked|opted|settled)\b|\b(?:i|we)(?:'ll| will|"
    r"'?re going to| are going to) (?:use|go with|keep|stick|switch|drop)\b",
    r"\bi (?:choose|pick|vote for|agree)\b|\bdo (?:both|all|the (?:first|second|third|latter|former))\b|"
    r"\bthe (?:first|second|third|latter|former) (?:one|option|approach)\b|\bsounds good\b|^approved?\b|^(?:lgtm|"
    r"ship it|all|both|yes|no|yes please|do it|go|proceed)[.!]?$",
)


def is_user_decision(sentence: Sentence) -> bool:
    """Whether the user settles a choice."""
    return not sentence.heading and len(sentence.text) <= 400 and bool(_USER_DECISION.search(_plain(sentence.text)))
