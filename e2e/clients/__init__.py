"""One file per client: what is asked of the server through it, and what must come back."""
