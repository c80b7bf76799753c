//! How shares, times and switches are written, and sizes that may be none. Knows nothing of what they are for.

use std::time::Duration;

use crate::deadline::LONGEST;
use crate::size::size;

/// A size, or `word` for none.
pub fn size_or(word: &'static str) -> impl Fn(&str) -> Result<Option<u64>, String> {
    move |text| {
        if text == word {
            Ok(None)
        } else {
            size(text).map(Some).map_err(|problem| format!("{problem}, or `{word}`"))
        }
    }
}

/// A share of something: `95%`.
pub fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse().ok();
    number
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| format!("`{text}` is no share; write 1% to 100%"))
}

/// A time: `90s`, `5m`, `1h 30m`; at most [`LONGEST`].
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no duration; write 30s, 5m or 1h 30m"))?;
    if duration > LONGEST {
        return Err(format!("`{text}` is too long; write at most {}days", LONGEST.as_secs() / (24 * 3600)));
    }
    Ok(duration)
}

/// A time as [`duration`] reads it.
pub fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// `on` or `off`; in a file also `true` or `false`.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!("`{text}` is neither `on` nor `off`")),
    }
}

/// A number of something that must be there.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| format!("`{text}` is no number above 0"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::deadline::LONGEST_SECONDS;

    #[test]
    fn a_time_that_no_clock_can_say_is_refused_with_the_longest_that_can_be_set() {
        assert_eq!(duration("3650days"), Ok(LONGEST));
        for text in ["18000000000000000000s", "3651days", "100years"] {
            let refusal = duration(text).unwrap_err();
            assert!(refusal.contains(text) && refusal.contains("3650days"), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(seconds in 0..=LONGEST_SECONDS) {
            let time = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&duration_text(time)), Ok(time));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text: String) {
            let _ = (percent(&text), duration(&text), switch(&text), count(&text));
        }
    }

    #[test]
    fn shares_are_between_one_and_a_hundred() {
        assert_eq!(percent("95%"), Ok(95));
        assert_eq!(percent("95"), Ok(95));
        for text in ["0%", "101%", "-1", "half", ""] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
