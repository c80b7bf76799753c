"""Numbers with their units."""

__version__ = "2.1.0"


def metres(number):
    return f"{number:.2f} m"
