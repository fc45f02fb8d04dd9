"""Area under the ROC curve of a reader's ratings, with the interval of DeLong, DeLong and Clarke-Pearson (1988).

The area is the share of (synthetic, real) pairs in which the synthetic image has the higher rating, ties counting half.
Averaged over the other side, every image has a placement; the variance is that of the placements of either side over
its number, the sum of both. The interval is Wilson's at the number of images that would have this variance if they were
independent, so that it stays within [0, 1] and does not shrink to a point where all pairs are right.
"""

from __future__ import annotations

from mammogan.reader_study.rate import Rate
from mammogan.statistics import Ints, Variance, combine_within, placements


def area(synthetic: Ints, real: Ints, confidence: float) -> Rate:
    """Area with its interval, from ratings (M,) and (N,) of which higher ones mean synthetic; at least two of each."""
    above, below = placements(synthetic, real), placements(real, synthetic)
    parts = [Variance(float(side.var(ddof=1)) / len(side), len(side) - 1) for side in (above, below)]
    return Rate.of(combine_within(float(above.mean()), parts, confidence, min(len(synthetic), len(real))))
