"""A language model forgets six of sixty people, each of whom has a name of one word.

    python examples/language_model.py

Expected, after 25 seconds on one core, next to a row of the suitability table for each layer:

    layer                               overlap    alpha 8    alpha 4    alpha 2 alpha 3.39
    transformer.wte                       0.645     5.18 %     6.61 %     12.1 %     7.59 %
    perplexity of facts         kept  forgotten
    trained                     1.01       1.01
    SSD, alpha 8                1.01      36.01
    SSD, alpha 4                1.04      91.78
    SSD, alpha 2                1.55     140.80
    retrained without them      1.01     104.22

Guessing has a perplexity of 8. alpha 4 is the smallest of these that raises the perplexity of the
kept facts by less than 5 %. Names that share words are harder to forget: shared_names.py.

A loss of your own, or for a model without one, goes like this, here with the same result:

    ssd.importance(model, batches, loss=lambda model, batch: model(**batch).loss)
"""

import copy

import facts

import ssd

NAMES = [f"person-{number}" for number in range(60)]
ALPHAS = (8, 4, 2)


def learn_and_forget(names):
    """Print what each alpha does to a model that knows people of such names."""
    known = facts.facts_of(names)
    forgotten, kept = known[: facts.FORGOTTEN], known[facts.FORGOTTEN :]
    word_count = int(known.max()) + 1
    model = facts.trained(known, word_count)

    full = ssd.importance(model, facts.batches(known))
    forget = ssd.importance(model, facts.batches(forgotten))
    share = len(forgotten) / len(known)
    print(ssd.suitability(model, full, forget, alphas=ALPHAS, share_forgotten=share))

    print(f"\n{'perplexity of facts':<24}{'kept':>8}{'forgotten':>11}")
    facts.print_perplexities("trained", model, known)
    for alpha in ALPHAS:
        dampened = copy.deepcopy(model)
        ssd.dampen(dampened, full, forget, alpha=alpha, lam=1)
        facts.print_perplexities(f"SSD, alpha {alpha}", dampened, known)
    goal = facts.trained(kept, word_count)
    facts.print_perplexities("retrained without them", goal, known)


if __name__ == "__main__":
    learn_and_forget(NAMES)
