"""Buildbarn: a store that is also the front end, and a scheduler."""
