"""What SSD does not do: forget six of sixty people whose names are words of other names too.

    python examples/shared_names.py

Expected, after 25 seconds on one core, next to a row of the suitability table for each layer:

    layer                               overlap    alpha 8    alpha 4    alpha 2 alpha 3.34
    transformer.wte                       0.581   0.0837 %      4.1 %       15 %     6.47 %
    perplexity of facts         kept  forgotten
    trained                     1.02       1.02
    SSD, alpha 8                1.02       1.02
    SSD, alpha 4                1.04       1.20
    SSD, alpha 2                1.65       4.62
    retrained without them      1.02     409.12

With alpha 4 the model still knows the six. With alpha 2 it forgets some of what it knew, and the
kept facts suffer. The suitability table warns of this: alpha 8 selects 5 % of the word embeddings
(wte) where names are words of their own (language_model.py), and almost none here.
"""

from language_model import learn_and_forget

NAMES = [f"a{number % 8} b{number % 9}" for number in range(60)]

if __name__ == "__main__":
    learn_and_forget(NAMES)
