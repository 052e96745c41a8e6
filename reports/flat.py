"""All records as one flat table: a line per record, a column per field."""

import json

import pandas as pd

# Parts of a record whose fields become columns, as `part.field`. Other dicts stay whole.
PARTS = ("config", "scores", "seconds", "sizes", "suitability", "outputs", "probes")


def table(records: list[dict]) -> pd.DataFrame:
    """A line per record, in their order. What a record does not have is missing (NaN, None)."""
    return pd.DataFrame([_flat(record) for record in records])


def _flat(record):
    """{name of a column: value}."""
    values = {}
    for name, value in record.items():
        if name in PARTS and isinstance(value, dict):
            for field, of_field in value.items():
                values[f"{name}.{field}"] = of_field
        else:
            values[name] = value
    return values


def csv(records: list[dict]) -> str:
    """The same as CSV; lists and dicts as JSON."""
    frame = table(records)
    return frame.map(_cell).to_csv(index=False, lineterminator="\n")


def _cell(value):
    return json.dumps(value) if isinstance(value, list | dict) else value
