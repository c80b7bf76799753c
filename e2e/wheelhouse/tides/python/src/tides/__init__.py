"""How high the water is."""

import math


def height(hour):
    """Metres above the mean, at an hour of a day that begins with high water."""
    return 1.5 * math.cos(hour * math.tau / 12.42)
