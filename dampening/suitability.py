"""Should this model be dampened at all? What the two importances say before anything changes."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dampening.blocks import row_blocks
from dampening.processes import local, totals
from dampening.ratios import comparable


@dataclass(frozen=True, kw_only=True)
class Suitability:
    """What the importances of D and D_f say of a model. Printed, it is a small table.

    A layer is a module with parameters of its own, by its name.
    """

    overlap: float  # cosine of I_D and I_Df over all parameters, in [0, 1]; NaN where one is 0
    overlap_by_layer: dict[str, float] = field(repr=False)
    selected: dict[float, float]  # alpha -> share of the parameters that it selects, in [0, 1]
    selected_by_layer: dict[str, dict[float, float]] = field(repr=False)
    # |D| / |D_f|. From here on an alpha selects nothing if D's batches over D_f are D_f's own.
    ceiling: float | None = None
    adaptive_alpha: float | None = None  # Adaptive SSD's

    def __str__(self) -> str:
        alphas = list(self.selected)
        heads = ["overlap", *(f"alpha {alpha:.3g}" for alpha in alphas)]
        lines = [_row("layer", heads)]
        rows = {"all": (self.overlap, self.selected)}
        for layer, overlap in self.overlap_by_layer.items():
            rows[layer or "(model)"] = (overlap, self.selected_by_layer[layer])
        for name, (overlap, selected) in rows.items():
            shares = [f"{100 * selected[alpha]:.3g} %" for alpha in alphas]
            lines.append(_row(name, [f"{overlap:.3f}", *shares]))
        if self.ceiling is not None:
            lines.append(f"ceiling |D| / |D_f|: alpha {self.ceiling:.4g}")
        if self.adaptive_alpha is not None:
            lines.append(f"adaptive alpha: {self.adaptive_alpha:.4g}")
        return "\n".join(lines)


def _row(name, cells):
    shown = name if len(name) <= 32 else f"...{name[-29:]}"
    return " ".join([f"{shown:<32}", *(f"{cell:>10}" for cell in cells)])


def measured(
    model: nn.Module,
    full: dict[str, Tensor],
    forget: dict[str, Tensor],
    alphas: list[float],
) -> Suitability:
    """Without ceiling and adaptive alpha. One pass over the importances of a checked model."""
    parameters = dict(model.named_parameters())
    parts, selections = {}, {}
    for name, p in parameters.items():
        theta, of_full, of_forget = local(p), local(full[name]), local(forget[name])
        product = torch.zeros(3, dtype=torch.float64, device=theta.device)
        count = torch.zeros(len(alphas), dtype=torch.int64, device=theta.device)
        for rows in row_blocks(theta):
            i_full, i_forget = comparable(of_full[rows], theta), comparable(of_forget[rows], theta)
            product += _products(i_full, i_forget)
            count += torch.stack([(i_forget > alpha * i_full).sum() for alpha in alphas])
        parts[name], selections[name] = product, count
    products = totals(parts, parameters)  # {name: [3]}
    counts = totals(selections, parameters)  # {name: [number of alphas]}
    sizes = {name: p.numel() for name, p in parameters.items()}
    names_by_layer: dict[str, list[str]] = {}
    for name in parameters:
        layer = name.rpartition(".")[0]
        names_by_layer.setdefault(layer, []).append(name)

    def joined(names):
        """(cosine, {alpha: share selected}) of some of the parameters."""
        cosine = _cosine([products[name] for name in names])
        selected = torch.tensor([counts[name] for name in names]).sum(0)  # [number of alphas]
        size = max(1, sum(sizes[name] for name in names))
        shares = (selected.double() / size).tolist()
        return cosine, dict(zip(alphas, shares, strict=True))

    overlap, selected = joined(list(parameters))
    overlap_by_layer, selected_by_layer = {}, {}
    for layer, names in names_by_layer.items():
        overlap_by_layer[layer], selected_by_layer[layer] = joined(names)
    return Suitability(
        overlap=overlap,
        overlap_by_layer=overlap_by_layer,
        selected=selected,
        selected_by_layer=selected_by_layer,
    )


def _products(i_full, i_forget):
    """[3]: the inner products of I_D with I_Df, of I_D and of I_Df with themselves, in float64."""
    a, b = i_full.flatten().double(), i_forget.flatten().double()
    return torch.stack([a @ b, a @ a, b @ b])


def _cosine(products):
    """The cosine of two vectors from the products [3] of each of their parts."""
    total = torch.tensor(products, dtype=torch.float64).sum(0)
    mixed, of_full, of_forget = total.tolist()
    length = math.sqrt(of_full) * math.sqrt(of_forget)
    return mixed / length if length > 0 else math.nan
