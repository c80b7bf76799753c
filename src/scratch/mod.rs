//! Everything that must not outlive us, or appear half-made. Knows nothing of what is in it.
//!
//! What others have shaped is removed by [`removal`] alone, and what only its owner may remove lies in a [`home`].
//! What others may read while it is made is made elsewhere and renamed: directories by [`staging`], files by [`file`].

pub mod file;
pub mod home;
pub mod removal;
pub mod space;
pub mod staging;
pub mod temporary;
