//! Follows the symlinks of an archive through the tree it describes, as the kernel will once they exist.
//! Knows nothing of the disk.

use std::collections::HashMap;

use super::error::shown;
use super::node::Node;
use super::rule::Rule;

/// Links the kernel follows for one path (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Steps from one part of a path to the next that all symlinks of an archive may take together: hundreds
/// of times what real archives need, and a few seconds of work.
const MOST_STEPS: usize = 10_000_000;

/// Looking up a path costs what its length does: so many bytes of it count as another step. Links that
/// lead through links add up to paths of 160 KB.
const BYTES_PER_STEP: usize = 64;

/// Checks the symlinks of one tree.
pub(super) struct Resolver<'t> {
    top_level: &'t str,
    nodes: &'t HashMap<Box<str>, Node>,
    steps: usize,
}

impl<'t> Resolver<'t> {
    pub(super) fn new(top_level: &'t str, nodes: &'t HashMap<Box<str>, Node>) -> Self {
        Self { top_level, nodes, steps: 0 }
    }

    /// Refuses the symlink at `link` if following it ever leaves the top-level directory. What does not
    /// exist counts as a directory, since the build may make it one.
    pub(super) fn check(&mut self, link: &'t str) -> Result<(), Rule> {
        let Some(Node::Symlink { target: whole, .. }) = self.nodes.get(link) else { return Ok(()) };
        let escaping = || Rule::EscapingSymlink { target: shown(whole.as_bytes()) };
        let tangled = || Rule::TangledSymlink { target: shown(whole.as_bytes()) };

        let mut place = parent(link).to_owned();
        let mut links = 1;
        // The rests of the targets being followed, innermost last.
        let mut rests = vec![whole.split('/')];
        while let Some(rest) = rests.last_mut() {
            let Some(part) = rest.next() else {
                rests.pop();
                continue;
            };
            self.steps += 1 + place.len() / BYTES_PER_STEP;
            if self.steps > MOST_STEPS {
                return Err(tangled());
            }
            match part {
                "" | "." => continue,
                ".." if place == self.top_level => return Err(escaping()),
                ".." => place.truncate(parent(&place).len()),
                name => {
                    let here = place.len();
                    place.push('/');
                    place.push_str(name);
                    if let Some(Node::Symlink { target, .. }) = self.nodes.get(place.as_str()) {
                        place.truncate(here);
                        rests.push(target.split('/'));
                        links += 1;
                        if links > MOST_LINKS {
                            return Err(tangled());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is before the last slash.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::member::Mtime;

    /// The first refusal among symlinks given as `path -> target`.
    fn check(links: &[(&str, &str)]) -> Result<(), Rule> {
        let nodes: HashMap<Box<str>, Node> = links
            .iter()
            .map(|&(path, target)| {
                (path.into(), Node::Symlink { target: target.into(), mtime: Mtime::FIRST })
            })
            .collect();
        let mut resolver = Resolver::new("pkg", &nodes);
        links.iter().try_for_each(|(path, _)| resolver.check(path))
    }

    #[test]
    fn links_inside_the_tree_are_fine_even_to_nothing() {
        check(&[("pkg/a", "b"), ("pkg/d/e", "../missing/x/../y"), ("pkg/d/f", ".."), ("pkg/g", ".")])
            .unwrap();
        check(&[("pkg/d/e", "f"), ("pkg/d/f", "../d/../g/")]).unwrap();
    }

    #[test]
    fn links_out_of_the_tree_are_not() {
        for target in ["..", "../pkg", "d/../..", "missing/../../x", "./..//"] {
            assert!(matches!(check(&[("pkg/a", target)]), Err(Rule::EscapingSymlink { .. })), "{target}");
        }
        assert!(matches!(check(&[("pkg/d/a", "../..")]), Err(Rule::EscapingSymlink { .. })));
    }

    #[test]
    fn dot_dot_counts_from_where_a_link_leads_and_not_from_its_name() {
        // By name `deep/link/../..` is `pkg`; but `link` leads to `pkg`, and `..` from there leads out.
        assert!(matches!(
            check(&[("pkg/a", "deep/link/../x"), ("pkg/deep/link", "..")]),
            Err(Rule::EscapingSymlink { .. })
        ));
        // By name `link/..` is `pkg` and `link/../..` leads out; but `link` leads to `pkg/x/y/z`.
        check(&[("pkg/a", "link/../.."), ("pkg/link", "x/y/z")]).unwrap();
    }

    #[test]
    fn links_that_add_up_to_endless_paths_are_refused() {
        let padding = "x/".repeat(2000);
        let path = |index: usize| format!("pkg/l{index}");
        let links: Vec<(String, String)> =
            (0..39).map(|index| (path(index), format!("l{}/{padding}", index + 1))).collect();
        let links: Vec<(&str, &str)> = links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert!(matches!(check(&links), Err(Rule::TangledSymlink { .. })));
    }

    #[test]
    fn circles_and_long_chains_are_refused() {
        assert!(matches!(check(&[("pkg/a", "b"), ("pkg/b", "a")]), Err(Rule::TangledSymlink { .. })));
        let names: Vec<String> = (0..60).map(|index| format!("pkg/l{index}")).collect();
        let targets: Vec<String> = (1..61).map(|index| format!("l{index}")).collect();
        let chain: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(targets.iter().map(String::as_str)).collect();
        assert!(matches!(check(&chain), Err(Rule::TangledSymlink { .. })));
        check(&chain[..40]).unwrap();
    }
}
