"""Does the overlap of the importances predict how much SSD damages a network?

    python -m experiments.suitability_plot [published/suitability]

reads the records that experiments/suitability.sh left. Prints, for each method and data set, how
what was known beforehand goes with the accuracy that was lost on what was kept (D_r of the baseline
minus D_r after, in points): Spearman's rank correlation, with a 95 % interval by bootstrap over
pairs of a network and a class. Draws docs/figures/suitability.svg.
"""

import common.threads  # noqa: F401 (before torch)

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from common.console import parser, run_script
from common.files import write_whole
from methods import ORIGINAL
from reports import style
from reports.room import PAGE_WIDTH
from runs import records
from runs.records import COLLAPSED

ROOT = Path(__file__).parent.parent
FIGURE = ROOT / "docs" / "figures" / "suitability.svg"
RESAMPLES = 9999
DATA_SETS = {"Digits": "the digits", "Folder": "CIFAR-10 (JPEG)"}
# What the importances say beforehand. ASSD always selects the same share, and SSD has no alpha of
# its own.
PREDICTORS = {
    "overlap": "overlap",
    "selected_percent": "share that alpha selects",
    "adaptive_alpha": "ASSD's alpha",
}
# The panels of a row: the family of methods, what is known beforehand, and in words.
COLUMNS = (
    ("ssd", "overlap", "overlap of I_D and I_Df"),
    ("ssd", "selected_percent", "share that alpha selects (%)"),
    ("assd", "overlap", "overlap of I_D and I_Df"),
)
# Where there is one network, a colour and a mark stand for a method. Where there are several, they
# stand for a network: the first ones, by its number.
METHOD_LOOKS = {
    "ssd (alpha 5)": {"color": style.COLOURS[5], "marker": style.MARKERS[5]},
    "ssd (alpha 6)": {"color": style.COLOURS[6], "marker": style.MARKERS[6]},
    "assd": {"color": "black", "marker": style.MARKERS[7]},
}
POINT = {"markersize": 4, "linestyle": "none"}
NAME = {"xytext": (4, 2), "textcoords": "offset points", "fontsize": 6, "color": "#444444"}
STILL_KNOWN = 10  # percent of D_f
HEADS = (
    "data",
    "method",
    "n",
    "collapsed",
    "not forgotten",
    "known beforehand",
    "rank correlation",
    "within a network",
)


# ---- from records to numbers ----


def frame_of(runs: list[dict]) -> pd.DataFrame:
    """A line for each run that dampened.

    `data`; `family` and `method`, without and with alpha; `network`, its training seed; `forget`;
    `lost`, the points of D_r; `left`, D_f in percent; the PREDICTORS, NaN where a method has none.
    """
    baselines = {}
    for run in runs:
        if run["config"]["method"] == ORIGINAL:
            baselines[_case(run)] = run["scores"]
    lines = []
    for run in runs:
        if "suitability" not in run:
            continue
        before, after = baselines[_case(run)], run["scores"]
        adaptive = run.get("adaptive_alpha")
        lines.append(
            {
                "data": run["config"]["dataset"],
                "family": run["config"]["method"],
                "method": _method(run["config"]),
                "network": run["config"]["train_seed"],
                "forget": run["config"]["forget"],
                "lost": before["RetainTestAcc"] - after["RetainTestAcc"],
                "left": after["Df"],
                "overlap": run["suitability"]["overlap"],
                "selected_percent": np.nan if adaptive else 100 * run["selected"],
                "adaptive_alpha": adaptive,
            }
        )
    frame = pd.DataFrame(lines).astype({"adaptive_alpha": float})
    return frame.sort_values(["data", "family", "method", "network", "forget"], ignore_index=True)


def _case(run):
    """A network and what it is to forget."""
    return run["weights_hash"], run["config"]["forget"]


def _method(config):
    if config["alpha"] is None:
        return config["method"]
    return f"{config['method']} (alpha {config['alpha']:g})"


def correlation(x, y) -> float:
    """Spearman's; NaN where either does not vary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(stats.spearmanr(x, y).statistic)


def interval(x, y) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the correlation over resampled pairs of x and y."""
    generator = np.random.default_rng(0)
    x, y = np.asarray(x), np.asarray(y)
    drawn = []
    for _ in range(RESAMPLES):
        places = generator.integers(0, len(x), len(x))
        drawn.append(correlation(x[places], y[places]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def within_networks(runs: pd.DataFrame, predictor: str) -> float:
    """The mean over networks of the correlation over the classes that one of them forgot."""
    values = []
    for _, of_network in runs.groupby("network"):
        values.append(correlation(of_network[predictor], of_network["lost"]))
    return float(np.nanmean(values))


# ---- the table ----


def table(frame: pd.DataFrame) -> list[str]:
    """The lines of a Markdown table."""
    lines = [_line(HEADS), "|---" * len(HEADS) + "|"]
    for (data, method), runs in frame.groupby(["data", "method"], sort=False):
        counts = (len(runs), (runs["lost"] > COLLAPSED).sum(), (runs["left"] > STILL_KNOWN).sum())
        for predictor, words in PREDICTORS.items():
            if runs[predictor].notna().all():
                cells = [DATA_SETS.get(data, data), method, *counts, words]
                lines.append(_line([*cells, *_correlations(runs, predictor)]))
    return lines


def _line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def _correlations(runs, predictor):
    """The texts of the last two columns; the last is empty where there is but one network."""
    value = correlation(runs[predictor], runs["lost"])
    if np.isnan(value):
        return "none: one of them does not vary", ""
    low, high = interval(runs[predictor], runs["lost"])
    text = f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
    if runs["network"].nunique() == 1:
        return text, ""
    return text, f"{within_networks(runs, predictor):+.2f}"


# ---- the figure ----


def picture(frame: pd.DataFrame):
    """A row for each data set, a column for each of COLUMNS, a point for each run."""
    data_sets = list(frame["data"].unique())
    figure, axes = style.panels(
        len(data_sets), len(COLUMNS), PAGE_WIDTH, 2.2 * len(data_sets) + 0.8
    )
    for row_axes, data in zip(axes, data_sets, strict=True):
        for axis, (family, predictor, words) in zip(row_axes, COLUMNS, strict=True):
            runs = frame[(frame["data"] == data) & (frame["family"] == family)]
            _draw(axis, runs, predictor)
            axis.set_xlabel(words)
            axis.set_title(f"{family.upper()}, {DATA_SETS.get(data, data)}")
        row_axes[0].set_ylabel("D_r lost (points)")
    style.legend(figure, axes, columns=4)
    about = "A point is a network and a class that it was to forget. Dashed: a collapse."
    style.set_caption(figure, [about])
    return figure


def _draw(axis, runs, predictor):
    """The runs of one data set and family: in the colour of their network, or of their method."""
    by_network = runs["network"].nunique() > 1
    for name, of_name in runs.groupby("network" if by_network else "method"):
        if by_network:
            label = f"network {name}"
            look = {"color": style.COLOURS[name], "marker": style.MARKERS[name]}
        else:
            label = f"{name}, by class"
            look = METHOD_LOOKS[name]
        axis.plot(of_name[predictor], of_name["lost"], **look, **POINT, label=label)
        for run in of_name[of_name["lost"] > COLLAPSED / 2].itertuples():
            where = (getattr(run, predictor), run.lost)
            axis.annotate(run.forget, where, **NAME)
    axis.axhline(COLLAPSED, color="black", linestyle="--", linewidth=1)
    axis.grid()
    axis.set_ylim(-8, 100)
    if predictor == "overlap":
        axis.set_xlim(0, 1)
    else:
        style.log_scale(axis)


def main(argv=None):
    flags = parser(__doc__)
    flags.add_argument("results", nargs="?", default=str(ROOT / "published" / "suitability"))
    frame = frame_of(records.read_all(flags.parse_args(argv).results))
    print("\n".join(table(frame)))
    write_whole(FIGURE, style.saved(picture(frame), "svg"))


if __name__ == "__main__":
    run_script(main)
