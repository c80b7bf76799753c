//! Properties of platforms (REAPI `Platform.Property`), as far as their names are compared.

/// The name by which a property is compared: without regard to case, and `ISA` is another name for `Arch`.
pub fn canonical_property_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "isa" { "arch".to_owned() } else { name }
}
