"""Names that users gave (classes, folders, devices), made fit for each format."""

import re

TEX = {
    **{sign: "\\" + sign for sign in "%_&#${}"},
    "±": "$\\pm$",
    "\\": "\\textbackslash{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "…": "\\ldots{}",
    '"': "\\textquotedbl{}",
}


def shown(text, letters: int = 100) -> str:
    """A text from outside as one line of printable letters.

    letters: the most that it may have. Of a longer text the middle is omitted.
    """
    encodable = str(text).encode(errors="backslashreplace").decode()
    line = " ".join(encodable.split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    if len(line) <= letters:
        return line
    end = letters // 3
    return f"{line[: letters - end - 1]}…{line[-end:]}"


def markdown(text: str) -> str:
    """A text in which Markdown finds no cell's end, emphasis, tag, link, formula or entity."""
    text = re.sub(r"[\\`*<$|~]", r"\\\g<0>", text)
    # Inside a word an underscore is no emphasis.
    text = re.sub(r"(?<!\w)_+|_+(?!\w)", lambda match: r"\_" * len(match[0]), text)
    text = re.sub(r"&(?=#?\w+;)", r"\\&", text)
    return text.replace("](", "]\\(")


def latex(text: str) -> str:
    """A text that LaTeX sets as it stands."""
    return "".join(TEX.get(sign, sign) for sign in text)
