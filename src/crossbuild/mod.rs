//! What to build for which targets: sources, build requirements, and the steps that make wheels.
//! Knows nothing of how a step works inside.
