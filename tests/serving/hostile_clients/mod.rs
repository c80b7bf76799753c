//! Clients that mean harm, or do harm without meaning to: what they cannot do to others.

mod connections;
mod descriptors;
mod instances;
mod memory;
mod public;
mod raw;
mod turns;
