"""What the benchmarks count and say; what they time, they time when they are run."""

import pytest
from torch import nn

from benchmarks import recipes
from benchmarks.recipes import Training


def test_operations_of_a_linear_layer_by_hand():
    """Forwards and for the weights' gradient 2 x 192 x 10 each; images need no gradient."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
    assert recipes.operations_an_image(model, 8) == 2 * 2 * 192 * 10


def test_fast_against_published_by_hand():
    published = [Training(90.0, 10, 20), Training(92.0, 10, 20), Training(91.0, 10, 40)]
    fast = [Training(91.0, 3, 5), Training(92.0, 3, 10), Training(93.0, 3, 10)]
    text = recipes.comparison({"published": published, "fast": fast})
    assert "0.25 (0.25 to 0.50, n = 3)" in text
    # Differences 1, 0 and 2: mean 1, standard error 1 / sqrt(3), times 4.303 of Student's t.
    assert "differs by +1.00 points (95 % interval -1.48 to +3.48)" in text


def test_seconds_are_computed_from_steps(capsys):
    recipes.main(["--steps", "2", "--seeds", "2"])
    printed = capsys.readouterr().out
    assert "published: CPU seconds of a training" in printed
    assert "n = 2) of them" in printed


@pytest.mark.slow
def test_the_table_of_recipes_is_printed(capsys):
    recipes.main(["--seeds", "1", "--jobs", "1", "--epochs", "1"])
    printed = capsys.readouterr().out
    for name in recipes.RECIPES:
        (line,) = [line for line in printed.splitlines() if line.startswith(f"| {name} |")]
        assert line.count("|") == recipes.HEADER.count("|")
