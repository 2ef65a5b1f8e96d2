"""econml's greedy policy tree for targeting.py, at its defaults but for depth and leaf. In .venv-forests.

Started by targeting.py: python -m benchmarks.rivals.tree_econml FILE --depth D --least N --repeats R
"""

import argparse
import json
import time
from importlib.metadata import version

import numpy as np
from econml.policy import PolicyTree  # type: ignore[import-not-found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--least", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    options = parser.parse_args()
    with np.load(options.file) as held:
        x, reward = held["x"], held["reward"]
    seconds, value = [], 0.0
    for _ in range(options.repeats):
        tree = PolicyTree(max_depth=options.depth, min_samples_leaf=max(options.least, 1), honest=False)
        began = time.perf_counter()
        tree.fit(x, reward)
        seconds.append(time.perf_counter() - began)
        value = float(reward[np.arange(len(x)), tree.predict(x)].sum())
    print(json.dumps({"seconds": min(seconds), "value": value, "versions": {"econml": version("econml")}}))


if __name__ == "__main__":
    main()
