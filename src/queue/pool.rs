//! Workers of one kind. Knows nothing of how they run actions.

/// Workers that offer the same platform (REAPI `Platform`), each of which runs one action at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Names it to people, and its workers: `NAME/0`, `NAME/1`, …
    pub name: String,
    /// How many actions run at a time.
    pub slots: usize,
    /// What its workers offer, as `Arch` and `amd64`. A name may occur more than once: any of its values is
    /// offered then.
    pub properties: Vec<(String, String)>,
    /// Among pools that satisfy an action, those with the highest preference are used first.
    pub preference: i32,
}
