//! The store on disk across processes: killed ones, several at a time, and the command that looks after it.

mod command;
mod crashes;
