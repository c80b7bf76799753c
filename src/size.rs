//! How sizes are written: read from people, and shown to them. Knows nothing of what they are the sizes of.

/// Units of sizes, the largest first. Those with a `B` but no `i` are the disk makers'.
const UNITS: [(&str, u64); 14] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

/// Bytes: `50GiB`, `1.5TB`, `4096`.
pub fn size(text: &str) -> Result<u64, String> {
    let problem = || format!("`{text}` is no size; write 50GiB, 500MB or a number of bytes");
    let (number, unit) =
        UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes))).unwrap_or((text, 1));
    let number = number.trim_end();
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit).ok_or_else(problem);
    }
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| plain && unit > 1).ok_or_else(problem)?;
    let bytes = number * unit as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(problem()) }
}

/// A size as [`size`] reads it, in the largest unit that is exact.
pub fn size_text(bytes: u64) -> String {
    let (unit, factor) = UNITS[..4]
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .unwrap_or(&("", 1));
    format!("{}{unit}", bytes / factor)
}

/// A size for people: three digits are enough.
pub fn about(bytes: u64) -> String {
    let (unit, factor) = UNITS[..4].iter().find(|(_, factor)| bytes >= *factor).unwrap_or(&("B", 1));
    let number = bytes as f64 / *factor as f64;
    if number < 100.0 && *factor > 1 { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_in_the_units_people_use() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1B", 1),
            ("50GiB", 50 << 30),
            ("1.5 TiB", 3 << 39),
            ("500MB", 500_000_000),
            ("2G", 2 << 30),
            ("1 kB", 1000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "5 potatoes", "-1", "1.5", "1e3MB", "inf GiB", "99999999999TiB", "50Gi"] {
            assert!(size(text).unwrap_err().contains(text), "{text}");
        }
    }

    #[test]
    fn sizes_for_people_are_short() {
        assert_eq!(about(0), "0 B");
        assert_eq!(about(1536), "1.5 KiB");
        assert_eq!(about(250 << 30), "250 GiB");
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(bytes: u64) {
            prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = size(&text);
        }
    }
}
