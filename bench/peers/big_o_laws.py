"""How often big_O (PyPI big-O 0.11.0) finds the law of the corpus, beside Plimsoll.

    pip install big-O
    cargo run -p plimsoll-analysis --example law_corpus | python3 bench/peers/big_o_laws.py

Reads JSON lines {truth, class, exponent, intercept, noise, n, bytes, ours} and prints rates. big_O
is asked only for laws that it offers (doubling steps are left out). It names one law always, so its
answers are right or wrong; its `a * n^b` counts as right for every power whose exponent it meets
within 0.05, and for n, n^2 and n^3 as well as their own names.
"""

import json
import sys
import warnings
from collections import defaultdict

import numpy
from big_o import infer_big_o_class

NAMES = {
    "constant": "Constant",
    "log n": "Logarithmic",
    "n": "Linear",
    "n log n": "Linearithmic",
    "n^2": "Quadratic",
    "n^3": "Cubic",
}


def is_right(case, best):
    name = type(best).__name__
    if name == "Polynomial":
        exponent = best.coefficients()[1]
        return case["exponent"] > 0 and abs(exponent - case["exponent"]) < 0.05
    return NAMES.get(case["truth"]) == name


def main():
    warnings.simplefilter("ignore")
    rates = defaultdict(lambda: [0, 0, 0, 0, 0])
    for line in sys.stdin:
        case = json.loads(line)
        if case["class"] == "doubling steps":
            continue
        best, _ = infer_big_o_class(numpy.array(case["n"]), numpy.array(case["bytes"]))
        ours = case["ours"]
        row = [1, is_right(case, best), ours == [case["class"]], 0, case["class"] not in ours]
        row[3] = 1 - row[2] - row[4]
        keys = [
            (case["noise"], case["intercept"], case["truth"]),
            (case["noise"], case["intercept"], "all"),
            (case["noise"], "all", "all"),
        ]
        if case["truth"] in NAMES:
            # The laws that big_O fits with an intercept, as Plimsoll does.
            keys.append((case["noise"], "all", "its six"))
        for key in keys:
            rates[key] = [a + b for a, b in zip(rates[key], row)]
    print("noise intercept law        cases  big_O right  ours alone  in a set  wrong")
    for (noise, intercept, truth), row in rates.items():
        cases = row[0]
        print(
            f"{noise:>5.0%} {intercept:<9} {truth:<10} {cases:>5}"
            f" {row[1] / cases:>12.1%} {row[2] / cases:>11.1%}"
            f" {row[3] / cases:>9.1%} {row[4] / cases:>6.1%}"
        )


if __name__ == "__main__":
    main()
