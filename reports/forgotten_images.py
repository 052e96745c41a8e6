"""The figure of forgotten images: what the network takes each for, before, after, and retrained.

It needs what -outputs keeps next to a record: logits and the first images of D_f.
"""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from reports import lookup
from reports.room import PAGE_WIDTH, nearest, rows_for
from reports.style import BLUE, ORANGE, panels, set_caption
from reports.summary import Row
from reports.texts import shown
from runs import outputs

MOST_NETWORKS = 6  # columns next to the image
ROW_HEIGHT = 0.55  # inches


@dataclass(frozen=True)
class Seen:
    """What one network says of the images."""

    label: str
    names: list[str]  # the class of each image with the largest probability
    confidences: list[float]  # its probability, percent


def grid(forgotten: str, rows: list[Row], files: dict[str, Path]) -> Figure | None:
    """A row for each image, a column for each network: retrain, the original, the nearest methods.

    files: {name of a file of outputs: its path}. None where no run has kept images.
    """
    kept = _kept(rows, files)
    if len(kept) < 2:
        return None
    first, tensors = next(iter(kept.values()))
    pixels = tensors["forget_pixels"]
    classes = list(first["class_accuracy"])
    truths = [classes[label] for label in tensors["forget_labels"][: len(pixels)].tolist()]
    count = min(len(pixels), rows_for(ROW_HEIGHT, 0.7))
    networks = [_seen(label, kept[label][1], classes) for label in kept]
    figure, axes = panels(count, 1 + len(networks), PAGE_WIDTH, ROW_HEIGHT * count + 0.5)
    for number, row_axes in enumerate(axes):
        row_axes[0].imshow(pixels[number].permute(1, 2, 0).numpy())
        for axis in row_axes:
            axis.axis("off")
        for axis, network in zip(row_axes[1:], networks, strict=True):
            _write(axis, network, number, truths[number])
    for axis, network in zip(axes[0][1:], networks, strict=True):
        axis.set_title(shown(network.label, 16).replace(" (", "\n("), loc="center")
    about = f"Forget {shown(forgotten)}: forgotten training images, and the class that each network"
    about += " takes them for, with its probability. Bold and underlined: still recognised."
    set_caption(figure, [about])
    return figure


def _kept(rows, files):
    """{label: (record, its outputs)} of a run of each row.

    All are of the same images, and of networks that came from the same trained one.
    """
    wanted = nearest({"": rows}, len(rows))
    by_label = {row.label: row for row in rows}
    kept: dict[str, tuple] = {}
    same: tuple | None = None
    for label in wanted:
        if len(kept) == MOST_NETWORKS:
            break
        pair = _first_with_images(by_label[label].runs, files)
        if pair is None:
            continue
        record, tensors = pair
        of_pair = (record["weights_hash"], tensors["forget_positions"].tolist())
        same = same or of_pair
        if of_pair == same:
            kept[label] = pair
    has_method = any(not lookup.is_reference(by_label[label].method) for label in kept)
    return kept if has_method else {}


def _first_with_images(runs, files):
    """(record, outputs) of the first run that has kept images; None where none has."""
    for run in runs:
        about = run.get("outputs") or {}
        path = files.get(about.get("file", ""))
        tensors = outputs.read(path, about["checksum"]) if path else None
        if tensors is None or "forget_pixels" not in tensors:
            continue
        if len(run.get("class_accuracy") or {}) == tensors["forget_logits"].shape[1]:
            return run, tensors
    return None


def _seen(label, tensors, classes):
    count = len(tensors["forget_pixels"])
    probabilities = tensors["forget_logits"][:count].softmax(1)
    best = probabilities.max(1)
    names = [classes[place] for place in best.indices.tolist()]
    return Seen(label, names, (100 * best.values).tolist())


def _write(axis, network, number, truth):
    """What a network takes an image for; what is still recognised stands out."""
    name = network.names[number]
    is_known = name == truth
    colour = ORANGE if is_known else BLUE
    text = f"{shown(name, 14)}\n{network.confidences[number]:.0f} %"
    style = {"fontweight": "bold"} if is_known else {}
    axis.text(0.5, 0.5, text, color=colour, ha="center", va="center", **style)
    if is_known:
        axis.axhline(0.02, color=colour, linewidth=1.5)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
