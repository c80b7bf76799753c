"""Small locks that uv makes on the spot, and what it and crosswheel say has to be installed by them."""
