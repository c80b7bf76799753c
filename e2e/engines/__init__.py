"""Workers of ours in engines of others: what every engine needs, and the cases that all of them share."""
