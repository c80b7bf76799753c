"""What shows that a wheelhouse is right: an app of ours, the cases that make one of it, and locks compared with uv's view."""
