"""NativeLink: a real one where there is one, else a scheduler of ours that behaves as it was seen to."""
