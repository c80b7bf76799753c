//! Python's formats: names, versions and tags of wheels, metadata, RECORD, ELF files, interpreters.
//! Knows nothing of how anything is built.

pub mod compatible_tags;
pub mod core_metadata;
pub mod elf;
pub mod entry_points;
pub mod interpreter;
pub mod requirement_text;
pub mod sdist_name;
pub mod tag;
pub mod wheel_archive;
pub mod wheel_metadata;
pub mod wheel_name;
pub mod wheel_requirements;
