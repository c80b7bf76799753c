"""What every client needs: a server of ours, a place to run in, and a list of what passed."""
