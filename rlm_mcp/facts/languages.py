"""The basic markers of rules and corrections in German, French, Spanish, Portuguese, Japanese and Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm_mcp.facts.patterns import LazyPattern, lazy

_WORD = lazy(r"[^\W\d_]+")


def _words(text: str) -> LazyPattern:
    return LazyPattern(text, re.IGNORECASE)


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OTHER_LANGUAGES: tuple[tuple[frozenset[str], LazyPattern, LazyPattern, LazyPattern], ...] = (
    (
        _set(
            "der die das und nicht ist ein eine bitte wir ich auf mit f\u00fcr auch werden soll kein keine wird den zu "
            "aber im oder noch"
        ),
        _words(
            r"\b(?:darf|d\u00fcrfen|soll|sollen|sollte|kann|muss)\b.*\b(?:nicht|kein\w*|nie)\b|\bniemals\b|\bnie\b|"
            r"\bkeine?[nmrs]?\b|\bohne\b|\bnicht\b.*\b(?:verwenden|\u00e4ndern|anfassen|benutzen|nutzen|l\u00f6schen|"
            r"hinzuf\u00fcgen|machen|einbauen|committen|pushen)\b|\b(?:verwende|\u00e4ndere|benutze|nutze|l\u00f6sche|"
            r"fass)\b.*\bnicht\b|\bvermeide\w*\b|\bverboten\b"),
        _words(
            r"\b(?:muss|m\u00fcssen|musst|immer|nur|ausschlie\u00dflich|mindestens|h\u00f6chstens|unbedingt|"
            r"sicherstellen|stelle? sicher|achte darauf|statt|anstatt|anstelle|soll|sollen|sollte|pflicht)\b"),
        _words(
            r"\b(?:nein|falsch|stimmt nicht|das war nicht|ich meinte|ich meine|funktioniert (?:immer noch )?nicht|"
            r"geht nicht|geht immer noch nicht|du hast .* vergessen|r\u00fcckg\u00e4ngig|nicht das)\b"),
    ),
    (
        _set("le la les et est un une pour dans pas que qui nous vous avec sur des du ce il je faut sans au ne"),
        _words(
            r"\bne\b.*\b(?:pas|jamais|plus|rien)\b|\bn['\u2019]\w+.*\b(?:pas|jamais|plus|rien)\b|\bjamais\b|\bsans\b|"
            r"\b\u00e9vite\w*\b|\binterdit\b|\bpas de\b|\baucune?\b"),
        _words(
            r"\b(?:dois|doit|doivent|devez|il faut|toujours|uniquement|seulement|assure-toi|assurez-vous|veille|"
            r"veillez|obligatoire|au moins|au plus|plut\u00f4t que|au lieu de)\b"),
        _words(
            r"\b(?:non|faux|incorrect|ce n['\u2019]est pas|\u00e7a ne (?:marche|fonctionne) pas|ne (?:marche|"
            r"fonctionne) (?:toujours )?pas|je voulais dire|tu as oubli\u00e9|annule|reviens en arri\u00e8re)\b"),
    ),
    (
        _set("el los las y es un una para con por que del se lo como pero m\u00e1s esta hay debe usa sin en la de no"),
        _words(
            r"\bno (?:uses?|usar|toques?|cambies?|debes?|deben|debe|hagas?|modifiques?|a\u00f1adas?|borres?|puedes?|"
            r"se (?:debe|puede)|quiero|\w+es|\w+as)\b|\bnunca\b|\bjam\u00e1s\b|\bsin\b|\bevita\w*\b|\bprohibido\b|"
            r"\bning\u00fan\b|\bninguna\b"),
        _words(
            r"\b(?:debes?|deben|tiene que|tienen que|hay que|siempre|s\u00f3lo|solo|solamente|\u00fanicamente|"
            r"aseg\u00farate|obligatorio|al menos|como m\u00e1ximo|en lugar de|en vez de|prefiero)\b"),
        _words(
            r"\b(?:no, |incorrecto|est\u00e1 mal|eso no|no funciona|sigue sin|sigue fallando|quise decir|"
            r"quer\u00eda decir|olvidaste|deshaz|revierte)\b|^no[,. ]"),
    ),
    (
        _set(
            "o os as e \u00e9 um uma para com por que do da n\u00e3o em se como mas mais est\u00e1 deve use sem no na "
            "de"
        ),
        _words(
            r"\bn\u00e3o (?:use|usar|toque|mude|altere|deve|devem|fa\u00e7a|modifique|adicione|apague|pode|podem|"
            r"quero|\w+)\b|\bnunca\b|\bjamais\b|\bsem\b|\bevite\b|\bproibido\b|\bnenhuma?\b"),
        _words(
            r"\b(?:deve|devem|tem que|t\u00eam que|precisa|sempre|apenas|somente|s\u00f3|certifique-se|garanta|"
            r"obrigat\u00f3rio|pelo menos|no m\u00e1ximo|em vez de|ao inv\u00e9s de|prefiro)\b"),
        _words(
            r"\b(?:errado|incorreto|isso n\u00e3o|n\u00e3o funciona|continua (?:falhando|sem)|eu quis dizer|"
            r"voc\u00ea esqueceu|desfa\u00e7a|reverta)\b|^n\u00e3o[,. ]"),
    ),
)  # fmt: skip
_CJK = lazy(r"[\u3040-\u30ff\u4e00-\u9fff]")
_CJK_FORBID = lazy(
    r"\u3057\u306a\u3044\u3067|\u3057\u3066\u306f\u3044\u3051|\u7d76\u5bfe\u306b|\u7981\u6b62|"
    r"\u4f7f\u308f\u306a\u3044|\u306a\u3044\u3053\u3068|\u306a\u3044\u3067(?:\u304f\u3060\u3055\u3044)?|\u4e0d\u8981|"
    r"\u4e0d\u80fd|\u4e0d\u5f97|\u4e0d\u8bb8|\u8bf7\u52ff|\u5207\u52ff|\u7edd\u4e0d|\u522b(?:\u7528|\u6539|\u52a8|"
    r"\u52a0)|\u907f\u514d|\u4e0d\u53ef|\u65e0\u9700|\u4e0d\u7528"
)
_CJK_REQUIRE = lazy(
    r"\u5fc5\u305a|\u3079\u304d|\u306a\u3051\u308c\u3070(?:\u306a\u3089|\u3044\u3051)|\u3060\u3051|\u306e\u307f|"
    r"\u3059\u308b\u3053\u3068|\u3088\u3046\u306b\u3057\u3066|\u5e38\u306b|\u5fc5\u987b|\u53ea\u80fd|\u53ea\u7528|"
    r"\u4ec5|\u4e00\u5b9a\u8981|\u52a1\u5fc5|\u59cb\u7ec8|\u603b\u662f|\u5e94\u8be5|\u5e94\u5f53|\u4f18\u5148|"
    r"\u5c3d\u91cf|\u786e\u4fdd|\u4fdd\u6301|\u9700\u8981|\u81f3\u5c11|\u6700\u591a"
)
_CJK_CORRECTION = lazy(
    r"\u9055\u3046|\u9055\u3044\u307e\u3059|\u3058\u3083\u306a\u304f\u3066|\u3067\u306f\u306a\u304f|"
    r"\u52d5\u304b\u306a\u3044|\u307e\u3060\u30a8\u30e9\u30fc|\u623b\u3057\u3066|\u4e0d\u5bf9|\u9519\u4e86|"
    r"\u4e0d\u662f(?:\u8fd9|\u6211|\u8bf4)|\u8fd8\u662f(?:\u4e0d|\u62a5\u9519|\u5931\u8d25)|\u6211\u7684\u610f\u601d|"
    r"\u64a4\u9500|\u56de\u6eda|\u6ca1\u6709(?:\u751f\u6548|\u4fee\u590d)|\u4f60\u5fd8\u4e86|\u6539\u56de"
)
_ENGLISH = _set("the and is are to of in it you that this for with not please we be on should can a do use")


@dataclass(frozen=True, slots=True)
class Language:
    """Which markers apply to a text; None for English and the scripts without Latin letters."""

    forbid: LazyPattern | None = None
    require: LazyPattern | None = None
    correction: LazyPattern | None = None


def language_of(text: str) -> Language:
    """By its small words; English where no other language has clearly more of them."""
    sample = text[:4_000]
    if sample.isascii() and len(sample) >= 400:
        return Language()
    words = _WORD.findall(sample.lower())
    most = sum(word in _ENGLISH for word in words)
    best = Language()
    for small_words, forbid, require, correction in _OTHER_LANGUAGES:
        count = sum(word in small_words for word in words)
        if count > most and count >= 2:
            best, most = Language(forbid, require, correction), count
    return best


def rule_of_foreign(text: str, language: Language) -> str | None:
    """``forbid``, ``require`` or empty; None where ``language`` has no markers of its own."""
    if language.forbid is None or language.require is None:
        return None
    if text.endswith("?"):
        return ""
    return "forbid" if language.forbid.search(text) else "require" if language.require.search(text) else ""


def rule_of_cjk(text: str) -> str | None:
    """``forbid``, ``require`` or empty; None where the text has neither kana nor Chinese characters."""
    if text.isascii() or not _CJK.search(text):
        return None
    return "forbid" if _CJK_FORBID.search(text) else "require" if _CJK_REQUIRE.search(text) else ""


def is_foreign_correction(text: str, language: Language) -> bool | None:
    """Whether it corrects; None where the English markers decide."""
    if language.correction is not None:
        return bool(language.correction.search(text))
    if not text.isascii() and _CJK.search(text) and _CJK_CORRECTION.search(text):
        return True
    return None
