//! Properties by which clients tell a server something other than where an action is to run. Knows nothing of pools.

use crate::platform::canonical_property_name;

/// Properties that clients add for reasons of their own: no choice of workers is meant by them, and an action that has
/// one runs as well anywhere else. One belongs here only if its client's own sources say so. What a worker has to do
/// something for does not, such as `InputRootAbsolutePath` of siso and reclient or `JDK_SYMLINK` of early Pants: to run
/// such an action as if nothing were asked would be wrong.
const REMARKS: [&str; 5] = [
    // Bazel with `--experimental_remote_mark_tool_inputs` (`remote/PlatformProperties.java`) sets it for every action
    // whose tool can be a persistent worker, and so does Buck2 with its remote persistent workers: which process of
    // the tool could be used again. Bazel's proposal of remote persistent workers wants servers that have none to ignore it
    // and run the action as any other.
    "persistentWorkerKey",
    // Beside it, from the same file of Bazel: whether that process speaks JSON or protobuf.
    "persistentWorkerProtocol",
    // Bazel's own CI sets it on all actions (`bazelci.py`: a hash of the machine's toolchains), and so do others by
    // `--remote_default_exec_properties`: it makes another action of the same, so that no result is taken from
    // another machine's cache.
    "cache-silo-key",
    // The same of reclient (`reproxy`), for all actions of one run.
    "cache-silo",
    // reclient's own version, which it adds so that no other version takes its results.
    "reproxy-version",
];

/// Whether a property is none by which a client chooses workers.
pub(super) fn is_remark(property: &str) -> bool {
    let name = canonical_property_name(property);
    REMARKS.iter().any(|remark| canonical_property_name(remark) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chooses_a_worker_or_wants_something_of_it_is_no_remark() {
        assert!(
            is_remark("persistentWorkerKey") && is_remark("PERSISTENTWORKERKEY") && is_remark("cache-silo")
        );
        for other in
            ["Arch", "ISA", "OSFamily", "Pool", "container-image", "InputRootAbsolutePath", "GPU", ""]
        {
            assert!(!is_remark(other), "{other}");
        }
    }
}
