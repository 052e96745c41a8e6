"""Names from users, in every format."""

from reports import texts


def test_markdown_finds_nothing_in_a_text():
    assert texts.markdown("a|b*c*`d`$e$~f~<g>") == "a\\|b\\*c\\*\\`d\\`\\$e\\$\\~f\\~\\<g>"
    assert texts.markdown("[l](u) \\|") == "[l]\\(u) \\\\\\|"


def test_markdown_finds_no_emphasis_around_a_word():
    assert texts.markdown("__init__ bad_teacher _x_") == "\\_\\_init\\_\\_ bad_teacher \\_x\\_"


def test_markdown_finds_no_entity():
    assert texts.markdown("&lt; a & b") == "\\&lt; a & b"


def test_latex_escapes_what_latex_reads():
    wanted = "\\textless{}a\\textbar{}b\\textgreater{}\\textquotedbl{}\\ldots{}"
    assert texts.latex('<a|b>"…') == wanted
    assert texts.latex("a_b^c{d}~\\$&#% ±") == (
        "a\\_b\\textasciicircum{}c\\{d\\}\\textasciitilde{}\\textbackslash{}\\$\\&\\#\\% $\\pm$"
    )


def test_a_shown_text_is_one_line():
    assert texts.shown("a\n b\x00") == "a b?"


def test_a_shown_text_that_is_too_long_keeps_both_ends():
    assert texts.shown("abcdefghijklmnopqrstuvwxyz", 10) == "abcdef…xyz"
    assert len(texts.shown("x" * 1000, 100)) == 100
