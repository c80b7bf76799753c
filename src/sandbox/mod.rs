//! Process trees that cannot outlive us, cut off from the host as far as the host allows.
//! Knows nothing of Python, sdists or actions. The only room with `unsafe` code.
