"""Baseline: the original model, nothing forgotten; every method's starting point."""

from methods._method import Method


def unlearn(model, split):
    """Give the model back as it is."""
    return model.eval()


METHOD = Method(
    unlearn,
    family="original",
    draws_for_class=False,
    heals=True,
)
