//! `--exclude-newer`: the point in time after which nothing that was uploaded counts, so that what is chosen today is
//! what would have been chosen then. Spelled as uv spells it.
//! Knows nothing of indexes.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Unit};
use pep508_rs::PackageName;

/// A point in time; what was uploaded then or later does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutoff {
    /// The point in time.
    pub before: Timestamp,
    /// For cache keys: a time that is relative to now is the same question as a moment ago.
    key: String,
}

/// A text that says no such time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCutoff(String);

impl Cutoff {
    /// Reads a time (RFC 3339), a date, which is included to its end in UTC, or how long before `now` it was (`7 days`,
    /// `P7D`); none for `false`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Option<Self>, InvalidCutoff> {
        let text = text.trim();
        if text == "false" {
            return Ok(None);
        }
        if let Ok(before) = text.parse::<Timestamp>() {
            return Ok(Some(Self { before, key: before.to_string() }));
        }
        if let Ok(date) = text.parse::<Date>() {
            let next = date.tomorrow().map_err(|error| InvalidCutoff(format!("`{text}`: {error}")))?;
            return Self::midnight(next, text).map(Some);
        }
        let span = text.parse::<Span>().map_err(|_| {
            InvalidCutoff(format!(
                "`{text}` is neither a time such as 2024-01-31T12:00:00Z, a date such as 2024-01-31, nor a duration such as `7 days`"
            ))
        })?;
        let before = now
            .checked_sub(duration(&span, text)?)
            .map_err(|error| InvalidCutoff(format!("`{text}`: {error}")))?;
        Ok(Some(Self { before, key: format!("{text} ago") }))
    }

    /// Reads what pip calls `--uploaded-prior-to`, which differs in that a date is not included.
    pub fn parse_of_pip(text: &str, now: Timestamp) -> Result<Option<Self>, InvalidCutoff> {
        match text.trim().parse::<Date>() {
            Ok(date) if text.trim().parse::<Timestamp>().is_err() => Self::midnight(date, text).map(Some),
            _ => Self::parse(text, now),
        }
    }

    fn midnight(date: Date, text: &str) -> Result<Self, InvalidCutoff> {
        let before = TimeZone::UTC
            .to_timestamp(date.at(0, 0, 0, 0))
            .map_err(|error| InvalidCutoff(format!("`{text}`: {error}")))?;
        Ok(Self { before, key: before.to_string() })
    }

    /// Whether what was uploaded at `time` counts.
    pub fn admits(&self, time: Timestamp) -> bool {
        time < self.before
    }
}

/// How long `span` is, whatever its sign. Months and years are of no length that one could agree on.
fn duration(span: &Span, text: &str) -> Result<SignedDuration, InvalidCutoff> {
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(InvalidCutoff(format!(
            "`{text}` has months or years, which are not all of a length; say days, such as `60 days`"
        )));
    }
    let hours = i64::from(span.get_weeks()) * 7 * 24 + i64::from(span.get_days()) * 24;
    let rest = span.weeks(0).days(0);
    let seconds = rest.total(Unit::Second).map_err(|error| InvalidCutoff(format!("`{text}`: {error}")))?;
    let total = SignedDuration::from_hours(hours)
        .checked_add(SignedDuration::from_secs(seconds as i64))
        .ok_or_else(|| InvalidCutoff(format!("`{text}` is longer than there is time")))?;
    Ok(total.abs())
}

/// The cutoff for each project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// For those that are not named.
    pub general: Option<Cutoff>,
    /// For those that are; `None`: whatever there is counts.
    pub projects: BTreeMap<PackageName, Option<Cutoff>>,
    /// Whether it was said that there is none in general, whatever other settings say.
    pub switched_off: bool,
}

impl Cutoffs {
    /// The one for `project`, if it has any.
    pub fn of(&self, project: &PackageName) -> Option<&Cutoff> {
        match self.projects.get(project) {
            Some(own) => own.as_ref(),
            None => self.general.as_ref(),
        }
    }

    /// All that cached answers depend on.
    pub fn key(&self) -> String {
        let text = |cutoff: Option<&Cutoff>| cutoff.map_or("none", |cutoff| &cutoff.key).to_owned();
        let own = self.projects.iter().map(|(name, own)| format!("{name} {}", text(own.as_ref())));
        let general = text(self.general.as_ref());
        [general].into_iter().chain(own).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Option<String>, String> {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        let cutoff = Cutoff::parse(text, now).map_err(|error| error.to_string())?;
        Ok(cutoff.map(|cutoff| cutoff.before.to_string()))
    }

    #[test]
    fn times_dates_and_durations_are_points_in_time() {
        for (text, before) in [
            ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
            ("2024-01-31T12:00:00+02:00", "2024-01-31T10:00:00Z"),
            ("2024-01-31 12:00:00Z", "2024-01-31T12:00:00Z"),
            ("2024-02-28", "2024-02-29T00:00:00Z"),
            ("2024-12-31", "2025-01-01T00:00:00Z"),
            ("7 days", "2026-03-03T12:00:00Z"),
            ("P7D", "2026-03-03T12:00:00Z"),
            ("1 week ago", "2026-03-03T12:00:00Z"),
            ("1w 2d 3h", "2026-03-01T09:00:00Z"),
            ("PT24H", "2026-03-09T12:00:00Z"),
            ("0 days", "2026-03-10T12:00:00Z"),
        ] {
            assert_eq!(parse(text).unwrap().as_deref(), Some(before), "{text}");
        }
        assert_eq!(parse("false").unwrap(), None);
    }

    #[test]
    fn what_is_no_point_in_time_is_refused() {
        for (text, says) in [
            ("", "neither a time"),
            ("yesterday", "neither a time"),
            ("2024-13-01", "neither a time"),
            ("2 months", "not all of a length"),
            ("P1Y", "not all of a length"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_date_of_pip_is_not_included() {
        let now = Timestamp::UNIX_EPOCH;
        let before = |text: &str| Cutoff::parse_of_pip(text, now).unwrap().unwrap().before.to_string();
        assert_eq!(before("2024-01-31"), "2024-01-31T00:00:00Z");
        assert_eq!(before("2024-01-31T12:00:00Z"), "2024-01-31T12:00:00Z");
    }

    #[test]
    fn the_same_duration_is_the_same_question_and_a_project_can_have_its_own() {
        let at =
            |text: &str, second: i64| Cutoff::parse(text, Timestamp::from_second(second).unwrap()).unwrap();
        let cutoffs = |general: Option<Cutoff>| Cutoffs {
            general,
            projects: [("a".parse().unwrap(), None), ("b".parse().unwrap(), at("2020-01-01", 0))].into(),
            switched_off: false,
        };
        assert_eq!(cutoffs(at("7 days", 1)).key(), cutoffs(at("7 days", 2)).key());
        assert_ne!(cutoffs(at("7 days", 1)).key(), cutoffs(at("8 days", 1)).key());
        let found = cutoffs(at("2024-01-01", 0));
        let before = |name: &str| found.of(&name.parse().unwrap()).map(|cutoff| cutoff.before.to_string());
        assert_eq!(before("a"), None);
        assert_eq!(before("b").as_deref(), Some("2020-01-02T00:00:00Z"));
        assert_eq!(before("c").as_deref(), Some("2024-01-02T00:00:00Z"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_is_refused(text in "(-?[0-9]{1,12}|days?|weeks?|P|T|D|H|W|Y|-|:|Z| |ago|\\+|.){0,10}") {
            let _ = parse(&text);
            let _ = Cutoff::parse_of_pip(&text, Timestamp::MIN);
        }
    }
}
