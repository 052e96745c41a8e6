"""A report as Markdown, as LaTeX, and as one table of numbers."""

import pandas as pd

from reports import texts
from reports.figures import Pictures
from reports.frame import SCORES
from reports.legend import LEGEND
from reports.summary import Interval, Spread, Summaries
from reports.tables import Chapter
from runs.identity import ROW

NO_SPREAD = Spread(None, None, None)
NO_INTERVAL = Interval(None, None, None)


def markdown(chapters: list[Chapter], legend: dict[str, str] = LEGEND) -> str:
    """Markdown that also reads well as plain text. legend: {term: meaning}, which ends it."""
    blocks = []
    for chapter in chapters:
        blocks += [f"## {texts.markdown(chapter.title)}", texts.markdown(chapter.origin)]
        if chapter.command:
            blocks.append(f"    {chapter.command}")
        for section in chapter.sections:
            blocks.append(f"### {texts.markdown(section.heading)}")
            blocks += [_markdown_table(frame) for frame in section.frames]
    blocks.append("\n".join(f"- **{term}**: {meaning}" for term, meaning in legend.items()))
    return "\n\n".join(blocks) + "\n"


def brief(chapters: list[Chapter]) -> str:
    """One table of each chapter: that over all that was forgotten, where there is one."""
    blocks = []
    for chapter in chapters:
        section = chapter.sections[-1]
        table = _markdown_table(section.frames[0])
        blocks.append(f"{chapter.title}\n{section.heading}\n\n{table}\n")
    blocks.append("The terms are explained in docs/glossary.md.")
    return "\n".join(blocks)


def _markdown_table(frame):
    columns = []
    for name, cells in frame.items():
        column = [texts.markdown(text) for text in (name, *cells)]
        width = max(map(len, column))
        head, *body = [text.ljust(width) for text in column]
        columns.append([head, "-" * width, *body])
    lines = zip(*columns, strict=True)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex(chapters: list[Chapter]) -> str:
    """The same as LaTeX tables (booktabs)."""
    blocks = ["% \\usepackage{booktabs}"]
    for chapter in chapters:
        blocks.append(f"% {chapter.origin}")
        if chapter.command:
            blocks.append(f"% {chapter.command}")
        for section in chapter.sections:
            caption = texts.latex(f"{chapter.title}. {section.heading}")
            blocks += [_latex_table(frame, caption) for frame in section.frames]
    blocks += [f"% {term}: {meaning}" for term, meaning in LEGEND.items()]
    return "\n".join(blocks) + "\n"


def _latex_table(frame, caption):
    escaped = frame.map(texts.latex).rename(columns=texts.latex)
    alignment = "l" + "r" * (len(frame.columns) - 1)
    return escaped.to_latex(index=False, caption=caption, column_format=alignment)


def markdown_figures(pictures: Pictures) -> str:
    """The figures with their captions, as they lie next to a Markdown file; empty without any."""
    blocks = []
    for chapter, of_chapter in pictures.items():
        for picture in of_chapter:
            caption = texts.markdown(f"{chapter}. {picture.caption}")
            blocks.append(f"![{picture.name}]({picture.name}.svg)\n\n{caption}")
    return "\n## Figures\n\n" + "\n\n".join(blocks) + "\n" if blocks else ""


def latex_figures(pictures: Pictures) -> str:
    """The same as LaTeX figures (graphicx)."""
    blocks = ["% \\usepackage{graphicx}"]
    for chapter, of_chapter in pictures.items():
        for picture in of_chapter:
            caption = texts.latex(f"{chapter}. {picture.caption}")
            graphics = f"\\centering\\includegraphics{{{picture.name}.pdf}}"
            blocks.append(f"\\begin{{figure}}{graphics}\\caption{{{caption}}}\\end{{figure}}")
    return "\n\n".join(blocks) + "\n"


def csv(summaries: Summaries) -> str:
    """All rows as one table of numbers: means, spreads and intervals in columns of their own."""
    lines = []
    for setup, sections in summaries.items():
        for forgotten, rows in sections.items():
            lines += [_csv_line(setup, forgotten, row) for row in rows]
    # Objects, so that every number keeps all of its digits.
    return pd.DataFrame(lines, dtype=object).to_csv(index=False, lineterminator="\n")


def _csv_line(setup, forgotten, row):
    config = row.runs[0]["config"] if row.runs else {"set": {}}
    line = {
        **setup.columns,
        "forget": forgotten,
        "method": row.method,
    }
    for name in ROW:
        line[name] = config.get(name)
    line |= {
        "set": " ".join(f"{name}={value}" for name, value in config["set"].items()),
        "n": len(row.runs),
        "pairs": row.pairs,
        "collapsed": row.collapsed,
        "unchanged": row.unchanged,
    }
    for name in (*SCORES, "seconds", "I_D s", "selected %"):
        spread = row.values.get(name, NO_SPREAD)
        line[f"{name} mean"] = spread.mean
        line[f"{name} std over seeds"] = spread.over_seeds
        line[f"{name} std over trainings"] = spread.over_trainings
    for name in SCORES:
        interval = row.gaps.get(name, NO_INTERVAL)
        line[f"{name} - retrain's mean"] = interval.mean
        line[f"{name} - retrain's low"] = interval.low
        line[f"{name} - retrain's high"] = interval.high
    return {
        **line,
        "distance": row.distance,
        "tug of war": row.tug_of_war,
        "faster": row.speed_up,
    }
