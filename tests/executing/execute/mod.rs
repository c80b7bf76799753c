//! Actions, run by the executor in a real sandbox. Tests whose name does not say otherwise run with namespaces and
//! fail on a host that does not allow them: what they hold cannot be had there.

mod closed;
mod deep;
mod ends;
mod full_disks;
mod hostile;
mod inputs;
mod outputs;
mod own_binary;
mod places;
mod poison;
mod quotas;
mod scene;
mod trees;
mod upstream;
