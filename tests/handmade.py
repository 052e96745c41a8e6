"""Records made by hand, and the reports on them: for the tests of reports and of records."""

from reports import formats, tables
from reports.summary import summarise


def record(
    method,
    seed,
    d_r,
    d_f,
    mia,
    /,
    *,
    task="full_class",
    forget="7",
    alpha=None,
    selected=None,
    seconds=1.0,
    full=None,
    training=0,
    commit="c" * 40,
    data_hash="d" * 64,
    test=90.0,
    **config,
):
    """A record with these scores, percent.

    full: seconds of I_D. config: more of its configuration.
    """
    entry = {
        "task": task,
        "config": {
            "net": "Net",
            "dataset": "Set",
            "train_seed": training,
            "protocol": "paper",
            "method": method,
            "seed": seed,
            "forget": forget,
            "b": 64,
            "alpha": alpha,
            "lambda": None if alpha is None else 1,
            "importance": "batch",
            "set": {},
            "numerics": "fp32",
            **config,
        },
        "scores": {"RetainTestAcc": d_r, "Df": d_f, "MIA": mia, "TestAcc": test, "ZRF": 1},
        "seconds": {"method": seconds, "evaluation": 1, "full_importance": full},
        "selected": selected,
        "device": "a CPU",
        "commit": commit,
        "collapse": [],
        "weights_hash": f"{training}" * 64,
        "data_hash": data_hash,
        "entropy_histogram": [3, 1] + [0] * 18,
    }
    if selected:
        entry["selected_by_name"] = {"a": 0.1, "b": 0.2}
    return entry


FEW_RECORDS = [
    record("ssd", 0, 90, 0, 1, alpha=10, selected=0.01, full=2.0, test=80.0),
    record("ssd", 1, 92, 2, 4, alpha=10, selected=0.03, full=2.0),
    record("baseline", 0, 95, 96, 97, seconds=0.0),
    record("retrain", 0, 94, 0, 20, seconds=50),
    record("retrain", 1, 95, 0, 24, seconds=70),
    record("ssd", 0, 80, 90, 50, task="random", forget="0.1", alpha=10),
    record("amnesiac", 0, 84.9, 0, 26),
    record("amnesiac", 1, 94, 0, 26),
    record("ssd", 0, 85, 95, 55, task="random", forget="0.1", alpha=5),
]


def markdown_of(records):
    """The report on records as Markdown."""
    return formats.markdown(tables.chapters(summarise(records)))


def only_setup(records):
    """(setup, its sections) of records that all belong to one setup."""
    ((setup, sections),) = summarise(records).items()
    return setup, sections


def only_rows(records):
    """{label: row} of records that all belong to one section."""
    _, sections = only_setup(records)
    (rows,) = sections.values()
    return {row.label: row for row in rows}


def cells_of(text):
    """The lines of Markdown tables as lists of cells."""
    rows = []
    for line in text.split("\n"):
        if line.startswith("| "):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def cells_by_method(text):
    """{method: {column: cell}} of the first table of a Markdown text."""
    head, _, *lines = cells_of(text[: text.index("\n\n", text.index("\n| "))])
    return {line[0]: dict(zip(head, line, strict=True)) for line in lines}
