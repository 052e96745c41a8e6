"""The baseline is the original network."""

from helpers import assert_identical, small_split, tiny_resnet, twin

from methods import baseline


def test_nothing_is_forgotten():
    model = tiny_resnet()
    before = twin(model)
    assert baseline.unlearn(model, small_split("full_class")) is model
    assert_identical(model, before)
