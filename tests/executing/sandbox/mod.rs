//! Commands in a sandbox, as real processes. Tests whose name does not say otherwise run with namespaces and
//! fail on a host that does not allow them: what they hold cannot be had there.

mod attacks;
mod emulated;
mod ends;
mod hostile;
mod hosts;
mod isolation;
mod overlays;
mod roots;
mod running;
mod spawner;
mod starts;
