//! `crosswheel wheelhouse`: everything that has to be installed, for every target, with nothing built that an index
//! already has. Knows nothing of how a wheel is built, nor of the command line.

#[allow(dead_code)]
mod planned;
