"""Five forms of one training loop, each in a module of its own, and what makes them comparable.

``task`` is what all of them train, ``turns`` lets them take turns, ``relay`` runs them in processes of their own, and
``recipe`` makes a task of one of zoo's recipes. Only ``recipe`` and ``zoo_fit`` import zoo: the others are what people
write without it.
"""

FORMS = {  # name -> module, what it is
    "originals": ("originals", "DataLoader, albumentations, fp32, .item() each step"),
    "hand": ("by_hand", "the tightest loop: batched, no waiting, no framework"),
    "lightning": ("lightning_trainer", "Lightning's Trainer"),
    "timm": ("timm_loop", "timm's loader, meters, scheduler and optimizer factory"),
    "zoo": ("zoo_fit", "what `zoo run` calls"),
}
