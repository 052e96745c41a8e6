"""What the examples of language models share: facts to learn, training and perplexity."""

import random

import digits  # noqa: F401 (it finds ssd)
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

FORGOTTEN = 24  # facts: four of each of the first six people
SIZES = {"n_positions": 8, "n_embd": 64, "n_layer": 2, "n_head": 4}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None}
STEPS, BATCH_SIZE, RATE = 500, 80, 2e-3


def facts_of(names: list[str]) -> Tensor:
    """240 facts such as "the colour of person-5 is colour-3", as numbers of words [240, T]."""
    random.seed(0)
    facts = []
    for name in names:
        for thing in ("colour", "city", "animal", "drink"):
            facts.append(f"the {thing} of {name} is {thing}-{random.randrange(8)}")
    words = sorted(set(" ".join(facts).split()))
    return torch.tensor([[*map(words.index, fact.split())] for fact in facts])


def batch(facts: Tensor) -> dict[str, Tensor]:
    """What model(**batch) takes. Only the last word counts: labels of -100 are ignored."""
    labels = facts.clone()
    labels[:, :-1] = -100
    return {"input_ids": facts, "labels": labels}


def batches(facts: Tensor) -> list[dict[str, Tensor]]:
    """Batches of eight facts."""
    return [batch(part) for part in facts.split(8)]


def trained(facts: Tensor, word_count: int) -> GPT2LMHeadModel:
    """A small GPT-2 that has learned the facts [N, T]. Its head is tied to its embeddings."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=word_count, **SIZES, **NO_ENDS)
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
def print_perplexities(title: str, model: GPT2LMHeadModel, facts: Tensor) -> None:
    """A row: the perplexity of the last word of the kept facts, and of the forgotten ones."""
    kept = model(**batch(facts[FORGOTTEN:])).loss.exp()
    forgotten = model(**batch(facts[:FORGOTTEN])).loss.exp()
    print(f"{title:<24}{kept:8.2f}{forgotten:11.2f}", flush=True)
