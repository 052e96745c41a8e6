"""A language model forgets six of sixty people: easily if every name is a word of its own.

    python examples/language_model.py

Expected, after 45 seconds on one core, next to a row of the suitability table for each layer:

    names of one word
    layer                               overlap    alpha 8    alpha 4    alpha 2 alpha 3.39
    transformer.wte                       0.645     5.18 %     6.61 %     12.1 %     7.59 %
    perplexity of facts         kept  forgotten
    trained                     1.01       1.01
    SSD, alpha 8                1.01      36.01
    SSD, alpha 4                1.04      91.78
    SSD, alpha 2                1.55     140.80
    retrained without them      1.01     104.22

    names of two words, shared with others
    layer                               overlap    alpha 8    alpha 4    alpha 2 alpha 3.34
    transformer.wte                       0.581   0.0837 %      4.1 %       15 %     6.47 %
    perplexity of facts         kept  forgotten
    trained                     1.02       1.02
    SSD, alpha 8                1.02       1.02
    SSD, alpha 4                1.04       1.20
    SSD, alpha 2                1.65       4.62
    retrained without them      1.02     409.12

alpha 4 is the smallest of these that raises the perplexity of the kept facts by less than 5 %.
With it the model forgets people whose name is one word: guessing has a perplexity of 8. It does not
forget people whose two words are also in other names. With alpha 2 it forgets some of that, and the
kept facts suffer. The suitability table shows this beforehand. Of the word embeddings (wte) alpha 8
selects 5 % in the first case, all in the rows of the six names. In the second it selects almost
none.

A loss of your own, or for a model without one, goes like this, here with the same result:

    ssd.importance(model, batches, loss=lambda model, batch: model(**batch).loss)
"""

import copy
import random
import sys
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

sys.path.append(str(Path(__file__).parents[1]))  # the folder of ssd.py, unless it is installed

import ssd

NAMES = {
    "names of one word": [f"person-{number}" for number in range(60)],
    "names of two words, shared with others": [f"a{n % 8} b{n % 9}" for n in range(60)],
}
ALPHAS = (8, 4, 2)
FORGOTTEN = 24  # facts: four of each of the first six people
SIZES = {"n_positions": 8, "n_embd": 64, "n_layer": 2, "n_head": 4}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None}
STEPS, BATCH_SIZE, RATE = 500, 80, 2e-3


def facts_of(names):
    """240 facts such as "the colour of person-5 is colour-3", as numbers of words [240, T]."""
    random.seed(0)
    facts = []
    for name in names:
        for thing in ("colour", "city", "animal", "drink"):
            facts.append(f"the {thing} of {name} is {thing}-{random.randrange(8)}")
    words = sorted(set(" ".join(facts).split()))
    return torch.tensor([[*map(words.index, fact.split())] for fact in facts])


def batch(facts):
    """What model(**batch) takes. Only the last word counts: labels of -100 are ignored."""
    labels = facts.clone()
    labels[:, :-1] = -100
    return {"input_ids": facts, "labels": labels}


def trained(facts, word_count):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=word_count, **SIZES, **NO_ENDS)  # its head is tied
    model = GPT2LMHeadModel(config).eval()  # without dropout
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        chosen = torch.randperm(len(facts))[:BATCH_SIZE]
        model(**batch(facts[chosen])).loss.backward()
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def report(title, model, facts):
    """Print the perplexity of the last word of the kept facts, and of the forgotten ones."""
    kept = model(**batch(facts[FORGOTTEN:])).loss.exp()
    forgotten = model(**batch(facts[:FORGOTTEN])).loss.exp()
    print(f"{title:<24}{kept:8.2f}{forgotten:11.2f}", flush=True)


def learn_and_forget(names):
    """Print what each alpha does to a model that knows people of such names."""
    facts = facts_of(names)
    word_count = int(facts.max()) + 1
    model = trained(facts, word_count)

    full = ssd.importance(model, [batch(part) for part in facts.split(8)])
    forget = ssd.importance(model, [batch(part) for part in facts[:FORGOTTEN].split(8)])
    share = FORGOTTEN / len(facts)
    print(ssd.suitability(model, full, forget, alphas=ALPHAS, share_forgotten=share))

    print(f"\n{'perplexity of facts':<24}{'kept':>8}{'forgotten':>11}")
    report("trained", model, facts)
    for alpha in ALPHAS:
        dampened = copy.deepcopy(model)
        ssd.dampen(dampened, full, forget, alpha=alpha, lam=1)
        report(f"SSD, alpha {alpha}", dampened, facts)
    report("retrained without them", trained(facts[FORGOTTEN:], word_count), facts)


if __name__ == "__main__":
    for title, names in NAMES.items():
        print(f"\n{title}\n")
        learn_and_forget(names)
