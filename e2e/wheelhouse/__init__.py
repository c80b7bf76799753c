"""A wheelhouse for an app of ours: the app, and the cases that make it, install it and break it."""
