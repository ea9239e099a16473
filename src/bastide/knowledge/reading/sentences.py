"""Sentences: where one ends, in texts full of "Art.", "Nr." and "L. 231-1"."""

import re

_END = re.compile(r"(?P<stop>[.!?…;\u037e])(?P<close>[\"'”“’»)\]]*)(?=\s|$)|\n\s*\n")
_WORD_BEFORE = re.compile(r"[^\s(\[«“„\"'’]+$")
_NEXT = re.compile(r"\s*[(\[«“„\"'‘’—–-]*\s*(\S)")

# Short forms after which a sentence goes on, whatever the language of the text: laws quote each other.
_SHORT_FORMS = """
    abl abs abschn al alin allg alt anh anl anm apdo app approx art arts aufl ausg az bc bd begr bes betr bgbl
    bijv blz bspw bull bzgl bzw ca cap capt cf ch chap cit cl co col coll corp cst dec dept dipl div doc dott dr
    ds ebd ed eds eg einschl em entspr erw etc evtl ex exc ff fig figs fn fol ges gem ggf gl grds hr hrsg i.d.f
    i.d.r i.e i.s.d i.v.m e.g z.b d.h u.a o.a m.a.w d.w.z p.ex n.b ibid id inc incl inkl insb insbes iur jo jr
    kap komm kon lett lfd lit lt ltd max me mem messrs mevr mgr min mio mlle mm mme mr mrs ms mrd mt mw mwst nr
    nrn nbr nb no nos núm num nris ob op oj or ord p par para paras parr pag pág págs pgs pkt pl pos pp préc
    prof prot pt pts publ punt r rdnr ref reg resp rn rz s sent sec secs sect sez sig sog sp spec sr sra srl ss
    st stk sth str subpara tab tel th ust u.a.m usw v verf verg vgl vb viz vol vols vs vv wg z ziff zit zt ärzt
    öff § άρθ αρ παρ εδ σ σελ τ λ.χ π.χ κ.λπ δηλ βλ στοιχ π.δ ν č čl odst písm sb např tzv popř tj příp bek cikk
    pl ún stb ill kb dz.u ust pkt zał np tzn tj m.in ww poz mr.s dir nr.crt lit.a bl.a f.n t.ex m.fl osv fr.o.m
    t.o.m kap st stk nr jf jfr mv esim ym mm ks n.s
"""
_SHORT = frozenset(_SHORT_FORMS.split())
_ORDINALS = frozenset({"de", "da", "no", "fi", "cs", "hu", "sk", "sl", "et", "lv", "is", "hr"})


def sentences(text: str, language: str = "") -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order; blanks between them belong to none."""
    found: list[tuple[int, int]] = []
    start = _skip(text, 0)
    for match in _END.finditer(text):
        end = match.end()
        if end <= start:
            continue
        if match["stop"] is None:
            end = match.start()
        elif not _ends(text, match, language):
            continue
        if end > start:
            found.append((start, end))
            start = _skip(text, match.end())
    if start < len(text):
        end = len(text.rstrip())
        if end > start:
            found.append((start, end))
    return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _ends(text: str, match: re.Match[str], language: str) -> bool:
    """Whether this stop ends a sentence."""
    stop = match["stop"]
    following = _NEXT.match(text, match.end())
    if following is None:
        return True
    if stop != ".":
        # a semicolon ends a question in Greek; elsewhere only a point of a list
        return not following[1].islower() and (stop != ";" or language == "el" or text[match.end()] == "\n")
    before = _WORD_BEFORE.search(text, max(0, match.start() - 40), match.start())
    word = before[0] if before else ""
    if following[1].islower() or (len(word) == 1 and word.isalpha()):
        return False
    if word.casefold() in _SHORT:
        return False
    if word.isdigit():
        at_start = before is not None and (before.start() == 0 or text[before.start() - 1] == "\n")
        return not at_start and not (language in _ORDINALS and len(word) <= 2)
    # "d. h." and "m.in.": single letters with stops between them are a short form, too
    return not ("." in word and all(len(part) <= 2 for part in word.split(".")))
