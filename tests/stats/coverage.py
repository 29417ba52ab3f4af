"""How often intervals cover the truth: `python -m tests.stats.coverage` prints the table of docs/statistics.md.

Simulated test sets: patients with one to five records each, whose latent scores share a patient effect; repeats (fits)
that differ by an effect of their own and by noise in each record. The truth is the value of the metric over all
patients and repeats, for one repeat over all patients.
"""

import sys
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import expit, ndtr

from medcl.stats.intervals import crossed_difference, crossed_interval
from medcl.stats.ranking import Floats, Ranks

METRICS = ("Dice", "accuracy", "high accuracy", "AUROC", "Dice difference", "AUROC difference")
REPEAT = {"Dice": 0.15, "accuracy": 0.3, "high accuracy": 0.3, "AUROC": 0.25}  # standard deviation between repeats
LEVEL = {"Dice": 1.6, "accuracy": 1.4, "high accuracy": 2.5, "AUROC": 1.5}  # of the latent scores
GAIN = 0.3  # of the better arm, on the same scale
BOUNDS = (0.0, 1.0)
SHARE = 0.4  # of patients that are positive


class Cohort:
    """The test patients and their records; arms are evaluated on the same ones."""

    def __init__(self, metric: str, n: int, rng: np.random.Generator) -> None:
        self.metric, self.n, self.rng = metric, n, rng
        self.of_patient = np.repeat(np.arange(n), rng.integers(1, 6, n))
        positive = np.zeros(n, dtype=bool)
        while not 0 < positive.sum() < n:  # without both classes there is no AUROC to give an interval to
            positive = rng.random(n) < SHARE
        self.positive = positive[self.of_patient]
        records = len(self.of_patient)
        sizes = {"Dice": (0.8, 0.5), "AUROC": (0.8, 0.6)}.get(metric, (1.0, 0.7))
        self.shared = sizes[0] * rng.standard_normal(n)[self.of_patient] + sizes[1] * rng.standard_normal(records)

    def arm(self, weights: Floats, repeats: int, gain: float = 0.0) -> Floats:
        """The metric of every repeat under weights of the patients (n, resamples), (repeats, resamples)."""
        rng, level = self.rng, LEVEL[self.metric] + gain
        effect = REPEAT[self.metric] * rng.standard_normal((repeats, 1)) if repeats > 1 else np.zeros((1, 1))
        noise = rng.standard_normal((repeats, len(self.shared)))
        of_records = weights[self.of_patient]
        if self.metric == "Dice":
            values = expit(self.shared + level + effect + 0.15 * noise)
            counts = np.bincount(self.of_patient, minlength=self.n)
            means = np.stack([np.bincount(self.of_patient, one, self.n) / counts for one in values])
            return means @ weights / weights.sum(0)
        if self.metric == "AUROC":
            scores = self.shared + self.positive * (level + effect) + 0.3 * noise
            return np.stack([Ranks.of(self.positive, one).auroc(of_records) for one in scores])
        right = self.shared + level + effect + 0.5 * noise + self.rng.logistic(size=len(self.shared)) > 0
        return right @ of_records / of_records.sum(0)


def truth(metric: str, repeats: int, gain: float = 0.0, draws: int = 2_000_000) -> float:
    """The value over all patients and repeats."""
    rng = np.random.default_rng(0)
    normal = stats.norm.ppf((np.arange(draws) + 0.5) / draws)  # quantiles in place of draws: no error of their own
    spread = REPEAT[metric] if repeats > 1 else 0.0
    if metric == "AUROC":
        return float(ndtr((LEVEL[metric] + gain + spread * normal) / np.sqrt(2 * (0.8**2 + 0.6**2 + 0.3**2))).mean())
    sizes = (0.8, 0.5, 0.15, spread) if metric == "Dice" else (1.0, 0.7, 0.5, spread)
    latent = LEVEL[metric] + gain + np.sqrt(np.square(sizes).sum()) * rng.permutation(normal)
    return float(expit(latent).mean())  # of an accuracy the chance that logistic noise does not undo the latent score


def rivals(
    values: Floats, boot: Floats, left_out: Floats, n: int, rng: np.random.Generator, bounds: tuple[float, float]
) -> dict[str, tuple[float, float]]:
    """Intervals by name, of values (repeats,), resamples (repeats, B) and leaving out each patient (repeats, n)."""
    repeats, mean = len(values), values.mean()
    over_patients = boot.mean(0)
    over_patients = over_patients[~np.isnan(over_patients)]
    crossed = np.take_along_axis(boot, rng.integers(0, repeats, boot.shape), 0).mean(0)
    crossed = crossed[~np.isnan(crossed)]
    found = {"percentile, patients alone": np.quantile(over_patients, [0.025, 0.975])}
    found["percentile, crossed"] = np.quantile(crossed, [0.025, 0.975])
    tail = stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1))
    found["expanded percentile, crossed"] = np.quantile(crossed, [tail, 1 - tail])
    jack = left_out.mean(0)[~np.isnan(left_out.mean(0))]
    apart = jack.mean() - jack if len(jack) else np.zeros(1)
    bias = stats.norm.ppf(np.clip((crossed < mean).mean() + (crossed == mean).mean() / 2, 0.001, 0.999))
    skew = (apart**3).sum() / (6 * max((apart**2).sum(), 1e-30) ** 1.5)
    z = bias + stats.norm.ppf([0.025, 0.975])
    found["BCa, crossed"] = np.quantile(crossed, np.clip(stats.norm.cdf(bias + z / (1 - skew * z)), 0, 1))
    variance = over_patients.var(ddof=1) + (values.var(ddof=1) / repeats if repeats > 1 else 0)
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(variance)
    found["t on the values"] = np.array([mean - half, mean + half])
    low, high = bounds
    jackknife = (apart**2).sum() * (len(apart) - 1) / len(apart) + (values.var(ddof=1) / repeats if repeats > 1 else 0)
    scaled = {
        "normal on the logit": (10**9, variance),
        "t on the logit, without n / (n - 1)": (n - 1, variance),
        "t on the logit, jackknife": (n - 1, jackknife),
    }
    for name, (freedom, square) in scaled.items():
        if min(mean - low, high - mean, np.sqrt(square)) < 1e-12:
            found[name] = np.array([mean, mean])
            continue
        half = stats.t.ppf(0.975, freedom) * np.sqrt(square) * (1 / (mean - low) + 1 / (high - mean))
        centre = np.log((mean - low) / (high - mean))
        found[name] = low + (high - low) * expit([centre - half, centre + half])
    return {name: (float(ends[0]), float(ends[1])) for name, ends in found.items()}


def simulate(
    metric: str, n: int, repeats: int, simulations: int, resamples: int = 400, compared: bool = True
) -> dict[str, tuple[float, float]]:
    """{interval: (share of simulations in which it covers the truth, mean width)}; without rivals the chosen one."""
    rng = np.random.default_rng([METRICS.index(metric), n, repeats])
    kind, paired = metric.removesuffix(" difference"), metric.endswith("difference")
    true = truth(kind, repeats, GAIN) - truth(kind, repeats) if paired else truth(kind, repeats)
    bounds = (-1.0, 1.0) if paired else BOUNDS
    covered, widths = defaultdict(list), defaultdict(list)
    for _ in range(simulations):
        drawn = rng.multinomial(n, np.full(n, 1 / n), resamples).T
        weights = np.concatenate([np.ones((n, 1)), drawn, 1 - np.eye(n)], axis=1)
        cohort = Cohort(kind, n, rng)
        arms = [cohort.arm(weights, repeats, gain) for gain in ((GAIN, 0.0) if paired else (0.0,))]
        values, boots = [one[:, 0] for one in arms], [one[:, 1 : resamples + 1] for one in arms]
        means = [boot.mean(0) for boot in boots]
        if paired:
            own = crossed_difference(*values, *means, BOUNDS, n)
        else:
            own = crossed_interval(values[0], means[0], BOUNDS, n)
        every = {"crossed_interval": (own.low, own.high)}
        if compared:
            whole = arms[0] - arms[1] if paired else arms[0]
            parts = whole[:, 0], whole[:, 1 : resamples + 1], whole[:, resamples + 1 :]
            every |= rivals(*parts, n, rng, bounds)
        for name, (low, high) in every.items():
            covered[name].append(low <= true <= high)
            widths[name].append(high - low)
    return {name: (float(np.mean(covered[name])), float(np.nanmean(widths[name]))) for name in covered}


def main(simulations: int, show: Callable[[str], object] = print) -> None:
    """Print the table: coverage in percent and, in brackets, mean width."""
    cases = [(n, repeats) for n in (5, 20, 57) for repeats in (1, 5)]
    for metric in METRICS:
        found = [simulate(metric, n, repeats, simulations) for n, repeats in cases]
        show(f"\n| {metric} | " + " | ".join(f"n = {n}, R = {repeats}" for n, repeats in cases) + " |")
        show("|---|" + "--:|" * len(cases))
        for name in found[0]:
            cells = (f"{100 * one[name][0]:.1f} ({one[name][1]:.2f})" for one in found)
            show(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
