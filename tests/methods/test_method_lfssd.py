"""LFSSD needs no labels.

That it is SSD with another measure: test_method_ssd.py.
"""

from dataclasses import replace

import torch
from helpers import assert_identical, small_split, tiny_resnet, twin

from methods import METHODS, lfssd


def test_labels_do_not_matter():
    torch.manual_seed(0)
    split, model = small_split("full_class"), tiny_resnet()
    other = twin(model)
    lfssd.unlearn(model, split, alpha=2, lam=1, batch_size=48)
    forget = replace(split.forget, labels=torch.zeros_like(split.forget.labels))
    full = replace(split.full, labels=torch.zeros_like(split.full.labels))
    unlabelled = replace(split, forget=forget, full=full)
    lfssd.unlearn(other, unlabelled, alpha=2, lam=1, batch_size=48)
    assert_identical(model, other)


def test_its_importance_is_the_norms():
    assert METHODS["lfssd"].measure == "norm"
