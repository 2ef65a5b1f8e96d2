"""Make beta_contrasts.json: distributions of the difference and of the log ratio of two Beta rates, to 25 digits.

40-digit arithmetic and an integration of its own, not the package's. The contrast's distribution function is the integral
of the control's density times the treatment's distribution function, over the logit of the rate that comes near an end of
its range: the control's, or the treatment's where the contrast cuts the control's range short. So the integrand is smooth
also next to rates of 0 and 1. Every value is computed twice, the second time with the arms' roles exchanged, and refused
where the two differ by more than 1e-22. Run from the project's root:

    .venv/bin/python tests/golden/make_beta_contrasts.py
"""

import json
import sys
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from mpmath import betainc, exp, log, log1p, loggamma, mp, mpf, quad, sqrt

mp.dps = 40
ORDER = 16
AGREEMENT = mpf(10) ** -22
# Control first, then treatment.
CASES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "ten thousand an arm": ((1001, 9001), (1051, 8951)),
    "small and even": ((13, 39), (18, 34)),
    "one user against many": ((1, 2), (301, 701)),
    "many against one user": ((301, 701), (2, 1)),
    "zero conversions in the control": ((1, 1001), (8, 994)),
    "zero conversions in both arms, Jeffreys": ((0.5, 200.5), (0.5, 300.5)),
    "all converted in the treatment": ((41, 11), (51, 1)),
    "a tenth of a conversion": ((0.1, 50.1), (3.1, 48.1)),
    "no trial in the treatment": ((121, 881), (1, 1)),
    "a wide treatment at zero, a narrow control": ((21, 10001), (1, 1001)),
    "very unequal n": ((100501, 899501), (32, 270)),
    "very unequal n, exchanged": ((32, 270), (100501, 899501)),
    "Hillstrom conversions": ((123, 21185), (190, 21199)),
    "two hundred million, rate .5": ((100000001, 100000001), (100010001, 99990001)),
    "two hundred million, rate 1e-6": ((201, 199999801), (241, 199999761)),
}
TOGETHER: dict[str, tuple[list[float], list[float], str]] = {
    "three arms of a thousand": ([101, 108, 95], [901, 894, 907], "0.02"),
    "three uneven arms": ([3, 108, 951], [31, 894, 9051], "0.03"),
    "an arm without conversions": ([1, 4, 6], [201, 198, 197], "0.02"),
}
SHARES = (-4.0, -1.96, -0.7, 0.4, 1.96, 3.5)  # where the distribution is asked for, in standard deviations


def legendre(order: int) -> tuple[list[mpf], list[mpf]]:
    """Nodes and weights on [-1, 1]."""
    nodes, weights = [], []
    for i in range(order):
        x = mp.cos(mp.pi * (i + mpf(3) / 4) / (order + mpf(1) / 2))
        derivative = mpf(1)
        for _ in range(100):
            p0, p1 = mpf(1), x
            for k in range(2, order + 1):
                p0, p1 = p1, ((2 * k - 1) * x * p1 - (k - 1) * p0) / k
            derivative = order * (x * p1 - p0) / (x * x - 1)
            step = p1 / derivative
            x -= step
            if abs(step) < mpf(10) ** (-mp.dps + 2):
                break
        nodes.append(x)
        weights.append(2 / ((1 - x * x) * derivative**2))
    return nodes, weights


RULE = list(zip(*legendre(ORDER), strict=True))


def logistic(x: mpf) -> mpf:
    return 1 / (1 + exp(-x))


class Rate:
    """One Beta posterior on the logit scale."""

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b = mpf(a), mpf(b)
        self.constant = loggamma(self.a + self.b) - loggamma(self.a) - loggamma(self.b)
        self.width = min(sqrt((self.a + self.b) / (self.a * self.b)) / 2, mpf("0.8"))
        mode = log(self.a / self.b)
        every = [mode]
        for sign in (-1, 1):
            x = mode
            while self.density(x) > mpf(10) ** -32:
                x += sign * self.width
                every.append(x)
        self.edges = sorted(every)
        masses = [self.mass(left, right) for left, right in pairwise(self.edges)]
        self.below = [mpf(0)]
        for piece in masses:
            self.below.append(self.below[-1] + piece)
        if abs(self.below[-1] - 1) > mpf(10) ** -26:
            message = f"Beta({a}, {b}): mass {mp.nstr(self.below[-1], 30)}"
            raise ArithmeticError(message)

    def density(self, x: mpf) -> mpf:
        """Density of the logit."""
        softplus = x + log1p(exp(-x)) if x > 0 else log1p(exp(x))
        return exp(self.a * x - (self.a + self.b) * softplus + self.constant)

    def mass(self, left: mpf, right: mpf) -> mpf:
        half = (right - left) / 2
        return half * sum(weight * self.density(left + half * (1 + node)) for node, weight in RULE)

    def cdf(self, x: mpf) -> mpf:
        if x <= self.edges[0]:
            return mpf(0)
        if x >= self.edges[-1]:
            return mpf(1)
        panel = bisect_right(self.edges, x) - 1
        return self.below[panel] + self.mass(self.edges[panel], x)


def logit(rate: mpf, complement: mpf) -> mpf:
    return log(rate / complement)


def integrate(function: Callable[[mpf], mpf], left: mpf, right: mpf, marks: list[mpf], finest: mpf) -> mpf:
    """Gauss-Legendre over [left, right], cut at the marks and so that no panel is wider than 0.8."""
    cuts = [left]
    for mark in [*sorted(m for m in marks if left < m < right), right]:
        if mark - cuts[-1] < finest and mark != right:
            continue
        pieces = int((mark - cuts[-1]) / mpf("0.8")) + 1
        start = cuts[-1]
        cuts += [start + (mark - start) * (i + 1) / pieces for i in range(pieces)]
    total = mpf(0)
    for low, high in pairwise(cuts):
        half = (high - low) / 2
        total += half * sum(weight * function(low + half * (1 + node)) for node, weight in RULE)
    return total


def carried(edges: list[mpf], carry: Callable[[mpf], tuple[mpf, mpf]]) -> list[mpf]:
    pairs = [carry(x) for x in edges]
    return [logit(rate, complement) for rate, complement in pairs if rate > 0 and complement > 0]


def contrast_cdf(treatment: Rate, control: Rate, value: mpf, *, ratio: bool) -> mpf:  # noqa: C901 - three ranges of one integral
    """P(treatment - control <= value), or of the log ratio."""
    stretch = exp(value)

    def to_treatment(x: mpf) -> tuple[mpf, mpf]:
        rate, complement = logistic(x), logistic(-x)
        return (rate * stretch, 1 - rate * stretch) if ratio else (rate + value, complement - value)

    def to_control(y: mpf) -> tuple[mpf, mpf]:
        rate, complement = logistic(y), logistic(-y)
        return (rate / stretch, 1 - rate / stretch) if ratio else (rate - value, complement + value)

    def by_control(x: mpf) -> mpf:
        rate, complement = to_treatment(x)
        if rate <= 0:
            return mpf(0)
        return control.density(x) * (treatment.cdf(logit(rate, complement)) if complement > 0 else 1)

    def by_treatment(y: mpf) -> mpf:
        rate, complement = to_control(y)
        if rate <= 0 or complement <= 0:
            return mpf(0)
        jacobian = logistic(-y) / complement  # d logit(c) / d logit(a), for a = c e^v and then for a = c + v
        if not ratio:
            jacobian *= logistic(y) / rate
        return control.density(logit(rate, complement)) * jacobian * treatment.cdf(y)

    finest = min(control.width, treatment.width) / 4
    x_marks = control.edges + carried(treatment.edges, to_control)
    y_marks = treatment.edges + carried(control.edges, to_treatment)
    first, last = control.edges[0], control.edges[-1]
    if ratio and value < 0:
        return integrate(by_control, first, last, x_marks, finest)
    if (
        value >= 0
    ):  # the treatment reaches 1 while the control is at `cut`, and the rest of the control's mass counts whole
        cut = 1 / stretch if ratio else 1 - value
        middle = logit(cut / 2, 1 - cut / 2)
        total = 1 - control.cdf(logit(cut, 1 - cut)) if cut < 1 else mpf(0)
        if middle > first:
            total += integrate(by_control, first, middle, x_marks, finest)
        rate, complement = to_treatment(middle)
        start = logit(rate, complement)
        if start < first:
            _, complement = to_treatment(first)
            start = logit(1 - complement, complement)
        return total + integrate(by_treatment, start, mpf(80), y_marks, finest)
    cut = 1 + value  # the treatment's range for a control below 1
    middle = logit(cut / 2, 1 - cut / 2)
    total = integrate(by_treatment, mpf(min(treatment.edges[0], -80)), middle, y_marks, finest)
    rate, complement = to_control(middle)
    start = logit(rate, complement)
    return total + (integrate(by_control, start, last, x_marks, finest) if start < last else mpf(0))


def checked(treatment: Rate, control: Rate, value: mpf, *, ratio: bool) -> mpf:
    """The distribution function, computed both ways."""
    forward = contrast_cdf(treatment, control, value, ratio=ratio)
    backward = 1 - contrast_cdf(control, treatment, -value, ratio=ratio)
    if abs(forward - backward) > AGREEMENT:
        message = f"not converged at {mp.nstr(value, 8)}: {mp.nstr(forward, 25)} and {mp.nstr(backward, 25)}"
        raise ArithmeticError(message)
    return forward


def asked(treatment: Rate, control: Rate, *, ratio: bool) -> list[float]:
    """Values at which the distribution is asked for."""
    if ratio:
        mean = sum(s * (mp.psi(0, r.a) - mp.psi(0, r.a + r.b)) for s, r in ((1, treatment), (-1, control)))
        variance = sum(mp.psi(1, r.a) - mp.psi(1, r.a + r.b) for r in (treatment, control))
    else:
        mean = treatment.a / (treatment.a + treatment.b) - control.a / (control.a + control.b)
        variance = sum(r.a * r.b / ((r.a + r.b) ** 2 * (r.a + r.b + 1)) for r in (treatment, control))
    values = [float(mp.nstr(mean + share * sqrt(variance), 6)) for share in SHARES]
    return values if ratio else [value for value in values if -0.999 < value < 0.999]


def together(alpha: list[float], beta: list[float], width: mpf) -> mpf:
    """P(highest rate - lowest rate <= width): one integral for each arm that may be the highest."""
    arms = list(zip(map(mpf, alpha), map(mpf, beta), strict=True))

    def below(k: int, rate: mpf) -> mpf:
        return betainc(*arms[k], 0, min(max(rate, mpf(0)), mpf(1)), regularized=True)

    def integrand(k: int, rate: mpf) -> mpf:
        a, b = arms[k]
        product = rate ** (a - 1) * (1 - rate) ** (b - 1) / mp.beta(a, b)
        for j in range(len(arms)):
            if j != k:
                product *= below(j, rate) - below(j, rate - width)
        return product

    total = mpf(0)
    for k, (a, b) in enumerate(arms):
        mean, sd = a / (a + b), sqrt(a * b / (a + b) ** 3)
        cuts = {mpf(0), width, mpf(1)} | {mean + i * 2 * sd for i in range(-12, 13)}
        inside = [cut for cut in sorted(cuts) if 0 <= cut <= 1]
        total += quad(lambda rate, k=k: integrand(k, rate), inside)
    return total


def main() -> None:
    target = Path(__file__).with_name("beta_contrasts.json")
    cases = []
    for name, (control_parameters, treatment_parameters) in CASES.items():
        sys.stderr.write(f"{name}\n")
        control, treatment = Rate(*control_parameters), Rate(*treatment_parameters)
        case: dict = {"name": name, "control": control_parameters, "treatment": treatment_parameters}
        for kind, ratio in (("difference", False), ("log_ratio", True)):
            case[kind] = [
                {"value": value, "cdf": mp.nstr(checked(treatment, control, mpf(value), ratio=ratio), 25)}
                for value in asked(treatment, control, ratio=ratio)
            ]
        cases.append(case)
    mp.dps = 25
    equivalent = [
        {"name": name, "alpha": a, "beta": b, "rope": float(w), "prob": mp.nstr(together(a, b, mpf(w)), 18)}
        for name, (a, b, w) in TOGETHER.items()
    ]
    source = "40-digit arithmetic, tests/golden/make_beta_contrasts.py"
    target.write_text(json.dumps({"source": source, "cases": cases, "together": equivalent}, indent=1) + "\n")


if __name__ == "__main__":
    main()
