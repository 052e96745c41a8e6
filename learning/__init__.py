"""How a network learns: images, augmentation, recipes, the training loop, arithmetic, protocol.

These files import `common` only. `datasets`, `splits`, `models`, `metrics` and all below may
import them.
"""
