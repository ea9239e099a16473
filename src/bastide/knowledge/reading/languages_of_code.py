"""Programming languages: how a file of each is known, how it comments, and how its definitions begin."""

import re
from dataclasses import dataclass
from pathlib import PurePath

PREFIX = "text/x-"
_SHEBANG = re.compile(rb"#![^\n]{0,200}?\b(python|bash|sh|zsh|node|perl|ruby|php|lua|Rscript)[\d.]*\b")
_RUNS = {"python": "python", "bash": "shell", "sh": "shell", "zsh": "shell", "node": "javascript", "perl": "perl",
         "ruby": "ruby", "php": "php", "lua": "lua", "Rscript": "r"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Language:
    """What is known of one language without parsing it."""

    name: str
    line: str = "//"
    """What begins a comment that ends with its line; "" = none."""
    block: tuple[str, str] = ("/*", "*/")
    """What begins and ends a longer comment; ("", "") = none."""
    defines: re.Pattern[str] | None = None
    """Matches a line that begins a definition; its group `name` is what is defined."""


def _begins(words: str, before: str = "", name: str = r"[\w.$:~<>*&]+") -> re.Pattern[str]:
    return re.compile(rf"(?P<indent>[ \t]*)(?:(?:{before})\s+)*(?:{words})\s+(?P<name>{name})")


_C_BEFORE = (
    "export|default|public|private|protected|internal|static|abstract|final|sealed|async|declare|open|override|data|"
    r"pub(?:\([^)]*\))?|unsafe|const|extern|inline|virtual|partial|suspend|typedef|template\s*<[^>]*>"
)
_C_WORDS = (
    "class|interface|struct|enum|trait|impl(?:<[^>]*>)?|fn|func|fun|function|namespace|record|object|protocol|mod"
)
_CURLY = _begins(_C_WORDS, _C_BEFORE)
_C_FUNCTION = re.compile(
    r"(?P<indent>)(?![\s#}]|(?:return|else|if|for|while|switch|typedef|using)\b)"
    r"(?:(?:class|struct|enum|union|namespace)\s+(?P<name>\w+)\s*(?:\{|:|$)|[\w:<>*&\s,~]{1,120}?\b[\w:~]+\([^;]*$)"
)
_GO = re.compile(r"(?P<indent>)(?:func\s+(?:\([^)]*\)\s*)?(?P<name>\w+)|type\s+\w+\s+(?:struct|interface)\b)")
_SQL = re.compile(
    r"(?P<indent>\s*)(?:create|alter)\s+(?:or\s+replace\s+)?(?:\w+\s+){0,3}?"
    r"(?:table|view|function|procedure|index|trigger|type|schema|policy)\s+(?:if\s+(?:not\s+)?exists\s+)?"
    r"(?P<name>[\w.\"]+)",
    re.IGNORECASE,
)

LANGUAGES = {
    language.name: language
    for language in (
        Language("python", "#", ('"""', '"""'), _begins("def|class", "async", r"\w+")),
        Language("javascript", defines=_CURLY),
        Language("typescript", defines=_CURLY),
        Language("java", defines=_CURLY),
        Language("kotlin", defines=_CURLY),
        Language("scala", defines=_begins("class|object|trait|def", "final|sealed|case|private|override|implicit")),
        Language("csharp", defines=_CURLY),
        Language("swift", defines=_CURLY),
        Language("dart", defines=_CURLY),
        Language("rust", defines=_CURLY),
        Language("go", defines=_GO),
        Language("c", defines=_C_FUNCTION),
        Language("cpp", defines=_C_FUNCTION),
        Language("php", defines=_CURLY),
        Language("ruby", "#", ("=begin", "=end"), _begins("def|class|module")),
        Language("perl", "#", ("=pod", "=cut"), _begins("sub|package")),
        Language("lua", "--", ("--[[", "]]"), _begins("function", "local")),
        Language("r", "#", ("", ""), re.compile(r"(?P<indent>)(?P<name>[\w.]+)\s*(?:<-|=)\s*function\b")),
        Language("julia", "#", ("#=", "=#"), _begins("function|struct|module|macro", "mutable|abstract")),
        Language("shell", "#", ("", ""), re.compile(r"(?P<indent>)(?:function\s+)?(?P<name>[\w:.-]+)\s*\(\)\s*\{?")),
        Language("powershell", "#", ("<#", "#>"), _begins("function|class|filter", name=r"[\w:-]+")),
        Language("sql", "--", ("/*", "*/"), _SQL),
        Language("haskell", "--", ("{-", "-}"), re.compile(r"(?P<indent>)(?P<name>[a-z]\w*)\s+::")),
        Language("css", "", ("/*", "*/")),
        Language("yaml", "#", ("", "")),
        Language("toml", "#", ("", ""), re.compile(r"(?P<indent>)\[{1,2}(?P<name>[^\]\n]+)\]{1,2}\s*$")),
        Language("ini", ";", ("", ""), re.compile(r"(?P<indent>)\[(?P<name>[^\]\n]+)\]\s*$")),
        Language("makefile", "#", ("", ""), re.compile(r"(?P<indent>)(?P<name>[\w./%-]+)\s*:(?!=)")),
        Language("dockerfile", "#", ("", ""), re.compile(r"(?P<indent>)FROM\s+(?P<name>\S+)", re.IGNORECASE)),
        Language("terraform", "#", ("/*", "*/"), re.compile(r"(?P<indent>)(?P<name>\w+(?:\s+\"[^\"]+\")+)\s*\{")),
    )
}
_ENDINGS = {
    "python": "py pyi", "javascript": "js mjs cjs jsx", "typescript": "ts tsx mts cts", "java": "java",
    "kotlin": "kt kts", "scala": "scala sc", "csharp": "cs", "swift": "swift", "dart": "dart", "rust": "rs", "go": "go",
    "c": "c h", "cpp": "cc cpp cxx hh hpp hxx", "php": "php", "ruby": "rb", "perl": "pl pm", "lua": "lua", "r": "r",
    "julia": "jl", "shell": "sh bash zsh ksh", "powershell": "ps1 psm1", "sql": "sql", "haskell": "hs",
    "css": "css scss less", "yaml": "yaml yml", "toml": "toml", "ini": "ini cfg conf", "makefile": "mk",
    "dockerfile": "dockerfile", "terraform": "tf hcl",
}  # fmt: skip
_BY_ENDING = {f".{ending}": name for name, endings in _ENDINGS.items() for ending in endings.split()}
_BY_NAME = {
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
}
TYPES = {f"{PREFIX}{name}": language for name, language in LANGUAGES.items()}
"""The languages by media type."""


def media_type(name: str, head: bytes) -> str:
    """The media type of a program, by the ending of its lower-case name or by what its first line runs; or ""."""
    path = PurePath(name)
    language = _BY_ENDING.get(path.suffix) or _BY_NAME.get(path.name, "")
    if not language and not path.suffix and (runs := _SHEBANG.match(head)) is not None:
        language = _RUNS[runs[1].decode()]
    return f"{PREFIX}{language}" if language else ""
