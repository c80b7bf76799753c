"""How long an action that never ends sleeps: a number of each run's own, so that its processes can be told apart."""

SECONDS = "86398"
