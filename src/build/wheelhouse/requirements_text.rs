//! The requirements file of a wheelhouse: exactly its wheels, by hash, for pip and uv. Knows nothing of where they come
//! from.

use super::record::WheelRecord;
use crate::platform::Target;

/// The text of the requirements file for `wheels`, of `target` and `python`.
pub(super) fn requirements_text<'a>(
    wheels: impl Iterator<Item = &'a WheelRecord>,
    target: Target,
    python: &str,
) -> String {
    let mut lines: Vec<String> = wheels
        .map(|wheel| format!("{}=={} --hash=sha256:{}\n", wheel.name, wheel.version, wheel.sha256))
        .collect();
    lines.sort();
    let head = format!(
        "# For Python {python} on {target}. Written by `crosswheel wheelhouse`.\n\
         # pip install --no-index --find-links DIR -r DIR/THIS\n"
    );
    head + &lines.concat()
}
