//! What a server says that it can (REAPI `Capabilities`), and whether that will do.

use crate::digest::DigestFunction;
use crate::reapi::{ServerCapabilities, digest_function, semver::SemVer};

/// The first version of the API with `Command.output_paths`.
const NEEDED: (i32, i32) = (2, 1);
/// The newest version of the API whose messages we know.
const KNOWN: (i32, i32) = (2, 13);

/// Why a server cannot run our actions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    #[error("it does not execute actions (it is a cache only, or execution is on another port of it)")]
    NoExecution,
    #[error("it does not speak SHA256 for {what}, but {supported}")]
    DigestFunction { what: &'static str, supported: String },
    #[error(
        "it speaks versions {low} to {high} of the Remote Execution API, and {}.{} to {}.{} are needed",
        NEEDED.0, NEEDED.1, KNOWN.0, KNOWN.1
    )]
    ApiVersion { low: String, high: String },
}

/// Whether the server can run what we send.
///
/// # Errors
/// What it lacks.
pub(super) fn check(capabilities: &ServerCapabilities) -> Result<(), Unsuitable> {
    let execution = capabilities.execution_capabilities.as_ref().filter(|execution| execution.exec_enabled);
    let execution = execution.ok_or(Unsuitable::NoExecution)?;
    let mut functions = execution.digest_functions.clone();
    // Before API 2.3 there was only this field.
    functions.push(execution.digest_function);
    check_function("execution", &functions)?;
    if let Some(cache) = &capabilities.cache_capabilities {
        check_function("storage", &cache.digest_functions)?;
    }
    check_version(capabilities)
}

fn check_function(what: &'static str, functions: &[i32]) -> Result<(), Unsuitable> {
    if functions.contains(&DigestFunction::Sha256.to_wire()) {
        return Ok(());
    }
    let named = functions.iter().filter_map(|function| digest_function::Value::try_from(*function).ok());
    let named = named.filter(|function| *function != digest_function::Value::Unknown);
    let mut names: Vec<_> = named.map(|function| function.as_str_name()).collect();
    names.sort_unstable();
    names.dedup();
    let supported = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Err(Unsuitable::DigestFunction { what, supported })
}

fn check_version(capabilities: &ServerCapabilities) -> Result<(), Unsuitable> {
    let number = |version: &SemVer| (version.major, version.minor);
    let low = capabilities.low_api_version.as_ref();
    let high = capabilities.high_api_version.as_ref();
    let fits = low.is_none_or(|low| number(low) <= KNOWN) && high.is_none_or(|high| number(high) >= NEEDED);
    if fits {
        return Ok(());
    }
    let text = |version: Option<&SemVer>| {
        version.map_or("?".to_owned(), |version| format!("{}.{}", version.major, version.minor))
    };
    Err(Unsuitable::ApiVersion { low: text(low), high: text(high) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reapi::{CacheCapabilities, ExecutionCapabilities};

    fn version(major: i32, minor: i32) -> Option<SemVer> {
        Some(SemVer { major, minor, ..SemVer::default() })
    }

    fn good() -> ServerCapabilities {
        let sha256 = DigestFunction::Sha256.to_wire();
        ServerCapabilities {
            execution_capabilities: Some(ExecutionCapabilities {
                exec_enabled: true,
                digest_function: sha256,
                ..ExecutionCapabilities::default()
            }),
            cache_capabilities: Some(CacheCapabilities {
                digest_functions: vec![sha256],
                ..CacheCapabilities::default()
            }),
            low_api_version: version(2, 0),
            high_api_version: version(2, 3),
            ..ServerCapabilities::default()
        }
    }

    #[test]
    fn what_the_peers_say_will_do() {
        check(&good()).unwrap();
        // BuildBuddy, and a server that says nothing.
        check(&ServerCapabilities { high_api_version: version(99, 9), ..good() }).unwrap();
        check(&ServerCapabilities { low_api_version: None, high_api_version: None, ..good() }).unwrap();
    }

    #[test]
    fn what_is_lacking_is_said() {
        let refusal = |capabilities| check(&capabilities).unwrap_err().to_string();
        assert!(
            refusal(ServerCapabilities { execution_capabilities: None, ..good() }).contains("not execute")
        );
        let mut disabled = good();
        disabled.execution_capabilities.as_mut().unwrap().exec_enabled = false;
        assert!(refusal(disabled).contains("not execute"));
        let mut other = good();
        let execution = other.execution_capabilities.as_mut().unwrap();
        execution.digest_function = digest_function::Value::Sha1 as i32;
        assert!(refusal(other).contains("SHA256 for execution, but SHA1"));
        let mut other = good();
        other.cache_capabilities.as_mut().unwrap().digest_functions =
            vec![digest_function::Value::Blake3 as i32];
        assert!(refusal(other).contains("SHA256 for storage, but BLAKE3"));
        let old = ServerCapabilities { high_api_version: version(2, 0), ..good() };
        assert!(refusal(old).contains("versions 2.0 to 2.0"));
        assert!(refusal(ServerCapabilities { low_api_version: version(3, 0), ..good() }).contains("3.0"));
        let new = |minor| ServerCapabilities { low_api_version: version(2, minor), ..good() };
        check(&new(13)).unwrap();
        assert!(refusal(new(14)).contains("2.1 to 2.13 are needed"));
    }
}
