"""Which programming language a text's code is written in.

The name after a code fence is believed, and so is a language that is mentioned where no other is;
without them, telling spellings of each language are counted, in fenced code where there is any
and else in lines that look like code. `None` where
nothing looks like code or two languages look alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_FENCE = re.compile(r"```[ \t]*([A-Za-z0-9+#.-]*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)

ALIASES: Mapping[str, str] = {
    "py": "python",
    "python3": "python",
    "js": "javascript",
    "jsx": "javascript",
    "node": "javascript",
    "ts": "typescript",
    "tsx": "typescript",
    "c++": "cpp",
    "cc": "cpp",
    "hpp": "cpp",
    "h": "c",
    "cs": "csharp",
    "c#": "csharp",
    "golang": "go",
    "rs": "rust",
    "rb": "ruby",
    "sh": "bash",
    "shell": "bash",
    "zsh": "bash",
    "console": "bash",
    "postgresql": "sql",
    "mysql": "sql",
    "kt": "kotlin",
    "yml": "yaml",
    "docker": "dockerfile",
    "htm": "html",
}

_MARKS: Mapping[str, str] = {
    "python": r"^[ \t]*def \w+\(.*\).*:[ \t]*$|^[ \t]*(?:elif|except|with) .*:[ \t]*$|"
    r"^[ \t]*(?:from [\w.]+ )?import \w+(?: as \w+)?[ \t]*$|\bself\.\w|\bprint\(|__\w+__|"
    r"^[ \t]*for \w+ in .*:[ \t]*$",
    "javascript": r"\bconst \w+ =|\blet \w+ =|=>\s*[{(]|\bfunction\s*\w*\(|console\.log|"
    r"\brequire\(|document\.|===|\bexport default\b",
    "typescript": r"\binterface \w+ \{|: (?:string|number|boolean|void)\b|\btype \w+ =|"
    r"\bas const\b|<\w+>\(|\breadonly \w+:|\benum \w+ \{",
    "java": r"\bpublic (?:static |final )*(?:class|void|int|String)\b|System\.out\.print|"
    r"\bimport java[.x]|@Override|\bnew \w+<.*>\(|\bprivate (?:final )?\w+ \w+;",
    "c": r"#include\s*<(?:stdio|stdlib|string|math)\.h>|\bprintf\(|\bmalloc\(|\bint main\(|"
    r"\bstruct \w+ \*|\bchar \*",
    "cpp": r"#include\s*<(?:iostream|vector|string|map|algorithm)>|\bstd::|\bcout\s*<<|"
    r"\btemplate\s*<|\bnullptr\b|using namespace std",
    "csharp": r"\busing System\b|\bnamespace \w+|Console\.Write|\bget; set;|\bvar \w+ = new |"
    r"\basync Task\b|\bstring\[\] args",
    "go": r"^package \w+|\bfunc (?:\(\w+ \*?\w+\) )?\w+\(.*\).*\{|:=|\bfmt\.|\bgo func\b|"
    r"\bif err != nil\b|\bchan \w+",
    "rust": r"\bfn \w+(?:<.*>)?\(.*\)|\blet mut \w+|\bimpl(?:<.*>)? \w+|\bprintln!|&mut \w|"
    r"\bpub (?:fn|struct|enum)\b|\bmatch \w+ \{|\.unwrap\(\)",
    "ruby": r"^[ \t]*def \w+[^:\n]*$|^[ \t]*end[ \t]*$|\bputs\b|\.each do \||\battr_accessor\b|"
    r"@\w+ =|^[ \t]*class \w+[ \t]*$|^[ \t]*require ['\"]",
    "php": r"<\?php|\$\w+\s*=[^=]|\$this->|\becho\b.*;|->\w+\(",
    "swift": r"\bfunc \w+\(.*\)\s*->|\bguard let\b|\bif let\b|\bimport (?:SwiftUI|UIKit|Foundation)"
    r"|\bvar \w+: \w+\b|@State\b",
    "kotlin": r"\bfun \w+\(.*\)|\bval \w+\b.*=|\bdata class\b|\bprintln\(|\bcompanion object\b|"
    r"\?\.\w+",
    "sql": r"\b(?:SELECT|FROM \w|WHERE|GROUP BY|ORDER BY|LEFT JOIN|INNER JOIN|INSERT INTO|"
    r"CREATE TABLE|ALTER TABLE|UPDATE \w+ SET)\b|(?i:^[ \t]*select\b[^;]{1,200}?\bfrom\b)|"
    r"(?i:\bgroup by\b|\bleft join\b|\binsert into\b|\bcreate table\b)",
    "bash": r"^#!.*\b(?:ba|z)?sh\b|^[ \t]*\$ \w+|"
    r"^[ \t]*(?:sudo|apt|cd|ls|grep|chmod|curl|export|echo|git|docker|npm|pip) [\w./-]|"
    r"\bfi[ \t]*$|\bdone[ \t]*$|\| (?:grep|awk|sed|xargs)\b",
    "html": r"<!DOCTYPE html|</?(?:div|span|body|head|html|p|a|ul|li|table|form|script)\b[^>]*>",
    "css": r"^[ \t]*[.#]?[\w-]+\s*\{[ \t]*$|^[ \t]*[\w-]+:\s*[^;{]+;[ \t]*$|@media\b|"
    r"display:\s*flex",
    "dockerfile": r"^FROM \S+|^RUN \S+|^COPY \S+ \S+|^ENTRYPOINT\b|^CMD \[",
    "yaml": r"^[ \t]*[\w-]+:[ \t]*$|^[ \t]*- [\w-]+:|^apiVersion:|^kind: \w+",
    "r": r"<- function\(|\w+ <- |\blibrary\(\w+\)|%>%|\bggplot\(|\bdata\.frame\(",
}
_COMPILED = {name: re.compile(pattern, re.MULTILINE) for name, pattern in _MARKS.items()}
_NAMED = frozenset(_MARKS) | {"haskell", "lua", "perl", "scala", "json", "xml", "matlab", "julia"}
_NAME = re.compile(
    r"(?<![\w.#+-])(?:python|javascript|typescript|java|c\+\+|c#|golang|rust|ruby|php|kotlin|"
    r"haskell|scala|perl|matlab|julia)(?![\w#+])"
)
_LOOKS_LIKE_CODE = re.compile(
    r"[;{}][ \t]*$|^[ \t]*(?:def|class|fn|func|import|#include|SELECT|select|FROM|package|using)\b|"
    r"\w\(.*\)\s*[:{]?[ \t]*$|^[ \t]*</?\w+.*>|^[ \t]*\$ \w|^#!|\w+ <- ",
    re.MULTILINE,
)
_ENOUGH_OF_A_LEAD = 1.3
_LOOKED_AT = 400


def code_language(text: str) -> str | None:
    """Return the language of the text's code, such as `python` or `cpp`."""
    fences = _FENCE.findall(text) if "```" in text else []
    for name, _ in fences:
        known = ALIASES.get(name.lower(), name.lower())
        if known in _NAMED:
            return known
    code = ("\n".join(body for _, body in fences) if fences else text)[:_LOOKED_AT]
    if not fences and not _LOOKS_LIKE_CODE.search(code):
        return None
    named = {ALIASES.get(name, name) for name in _NAME.findall(text[:_LOOKED_AT].lower())}
    if len(named) == 1:
        return named.pop()
    found = {name: len(pattern.findall(code)) for name, pattern in _COMPILED.items()}
    if found["typescript"]:  # whatever is JavaScript is TypeScript too
        found["typescript"] += found["javascript"]
    if found["cpp"]:
        found["cpp"] += found["c"]
    (best, most), (_, second) = sorted(found.items(), key=lambda one: -one[1])[:2]
    if most == 0 or (most == 1 and not fences) or most < second * _ENOUGH_OF_A_LEAD:
        return None
    return best
