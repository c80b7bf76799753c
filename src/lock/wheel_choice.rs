//! Which of several wheels is the one for a target, and which comes nearest if none is. Knows nothing of locks.

use crate::packaging::compatible_tags::CompatibleTags;
use crate::packaging::wheel_name::WheelFileName;

/// The best of `wheels` for `tags`: by tag, then by build tag (PEP 427), then the first. What has no wheel's name is none.
pub(crate) fn best_wheel<'w, W>(
    wheels: &'w [W],
    file_name: impl Fn(&W) -> &str,
    tags: &CompatibleTags,
) -> Option<&'w W> {
    let mut best: Option<(usize, BuildTag, &W)> = None;
    for wheel in wheels {
        let Ok(name) = file_name(wheel).parse::<WheelFileName>() else { continue };
        let Some(rank) = tags.rank(&name) else { continue };
        let build = BuildTag::of(&name);
        let is_better = |(best_rank, best_build, _): &(usize, BuildTag, &W)| {
            rank < *best_rank || (rank == *best_rank && build > *best_build)
        };
        if best.as_ref().is_none_or(is_better) {
            best = Some((rank, build, wheel));
        }
    }
    best.map(|(_, _, wheel)| wheel)
}

/// Numbers before texts, and no tag before any: 10 comes after 2.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BuildTag(Option<(u64, String)>);

impl BuildTag {
    fn of(name: &WheelFileName) -> Self {
        Self(name.build.as_deref().map(|build| {
            let digits = build.find(|character: char| !character.is_ascii_digit()).unwrap_or(build.len());
            // What has more digits than a number is later than any.
            (build[..digits].parse().unwrap_or(u64::MAX), build[digits..].to_owned())
        }))
    }
}

/// Of `file_names`, none of which is right for `tags`, the one that comes nearest: for that architecture, then for glibc,
/// then for that Python.
pub(super) fn nearest_wheel<'w>(
    file_names: impl Iterator<Item = &'w str>,
    tags: &CompatibleTags,
) -> Option<&'w str> {
    let nearness = |text: &str| {
        let Ok(name) = text.parse::<WheelFileName>() else { return (false, false, false) };
        let expanded = name.tags();
        let platform = |fits: &dyn Fn(&str) -> bool| expanded.iter().any(|tag| fits(tag.platform()));
        (
            platform(&|platform| platform.ends_with(tags.machine())),
            platform(&|platform| platform.contains("linux") && !platform.contains("musl")),
            expanded.iter().any(|tag| tags.accepts_python(tag)),
        )
    };
    // The first of those that are equally near.
    file_names.reduce(|best, other| if nearness(other) > nearness(best) { other } else { best })
}
