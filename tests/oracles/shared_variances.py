"""Variances that instances lend each other, number by number from the numbers themselves; nothing of the package."""

import numpy as np


def shared_variances(x):
    """Of x [m units, n instances]: variances [n] and degrees of freedom [n]."""
    m, n = x.shape
    own, moments = [x[:, i].var(ddof=1) for i in range(n)], {2: [], 3: [], 4: []}
    for i in range(n):
        for power, found in moments.items():
            found.append(float(np.mean((x[:, i] - x[:, i].mean()) ** power)))
    chance = np.mean([b - a * a * (m - 3) / (m - 1) for a, b in zip(moments[2], moments[4], strict=True)]) / m
    apart, mean = np.var(own, ddof=1), np.mean(own)
    by_chance = min(1.0, chance / apart)
    of_mean = sum(c * c / a for a, c in zip(moments[2], moments[3], strict=True) if a > 1e-12 * mean)
    of_mean -= 6.0 / m * sum(a * a for a in moments[2])
    skewed = of_mean / sum(b - a * a for a, b in zip(moments[2], moments[4], strict=True))
    skewed = min(max(skewed, 0.0), 1.0)
    shares = [by_chance * (skewed if each > 1e-12 * mean else 1.0) for each in own]
    shared = np.array([(1.0 - share) * each + share * mean for share, each in zip(shares, own, strict=True)])
    if by_chance == 1.0:
        return shared, np.full(n, m - 1.0)
    return shared, np.clip(2 * shared * mean / ((1 - by_chance) * chance), 1.0, m - 1.0)
