"""The seed of every random test: WEIR_SEED, or one that is drawn here. conftest.py prints it, and
workers that run side by side inherit it."""

import os
import random

SEED = int(os.environ.get("WEIR_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
os.environ["WEIR_SEED"] = str(SEED)
