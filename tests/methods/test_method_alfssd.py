"""ALFSSD needs no labels and no alpha.

That it is ASSD with another measure: test_method_assd.py.
"""

from dataclasses import replace

import torch
from helpers import assert_identical, net, small_split, twin

from methods import METHODS, alfssd


def test_labels_do_not_matter():
    split, model = small_split("full_class"), net()
    other = twin(model)
    alfssd.unlearn(model, split, batch_size=48)
    forget = replace(split.forget, labels=torch.zeros_like(split.forget.labels))
    full = replace(split.full, labels=torch.zeros_like(split.full.labels))
    alfssd.unlearn(other, replace(split, forget=forget, full=full), batch_size=48)
    assert_identical(model, other)


def test_its_importance_is_the_norms_and_it_takes_no_alpha():
    assert METHODS["alfssd"].measure == "norm"
    assert not METHODS["alfssd"].takes("alpha")
