"""A report as one self-contained HTML page, the figures in it."""

import base64
import html
from pathlib import Path

from common.errors import UserError
from common.files import check_writable

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Unlearning report</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { font-size: 1.6rem; } h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem; } h3 { font-size: 1.05rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; white-space: nowrap; margin: .5rem 0 1rem; }
th, td { padding: .2rem .7rem; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
thead th { border-bottom: 2px solid #111; } tr.retrain { font-weight: bold; }
table.runs td:last-child { color: #b34700; font-weight: bold; }
img { min-width: 44rem; max-width: 100%; height: auto; } p { max-width: 60rem; color: #444; }
</style><h1>Unlearning report</h1>
"""


def page(blocks, pictures):
    """The page of report.py's blocks; pictures: {table's title: [PNG bytes]}."""
    parts, waiting = [PAGE], []
    for kind, content in blocks:
        if kind == "table":
            head, *body = [[html.escape(text) for text in row] for row in content]
            rows = [
                f"<tr class={'retrain' if row[0] == 'retrain' else 'other'}><td>{'<td>'.join(row)}</tr>"
                for row in body
            ]
            table = f"<table class={'runs' if head[-1] == 'verdict' else 'gaps'}><thead><tr><th>{'<th>'.join(head)}</tr></thead>"
            parts.append(f"<div class=wide>{table}{''.join(rows)}</table></div>")
        elif kind in ("note", "legend"):
            parts.append(f"<p>{html.escape(content)}</p>")
        elif kind == "command":
            parts.append(f"<p><code>{html.escape(content)}</code></p>")
        else:
            if kind == "title":
                parts, waiting = parts + waiting, _images(pictures.get(content, []))
            level = "h2" if kind == "title" else "h3"
            parts.append(f"<{level}>{html.escape(content)}</{level}>")
    return "\n".join([*parts[:-1], *waiting, parts[-1]]) + "\n"


def _images(pictures):
    coded = [base64.b64encode(data).decode() for data in pictures]
    return [
        f'<div class=wide><img alt="figure" src="data:image/png;base64,{data}"></div>'
        for data in coded
    ]


def check_page(path):
    """UserError where the page could not be written, or would replace a file that is no page."""
    path = Path(path)
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(PAGE[:15].encode())):
        raise UserError(f"--html {path} is there and no page; name another file")
    check_writable(path.parent)
