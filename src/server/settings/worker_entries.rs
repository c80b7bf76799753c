//! The names of the settings of a worker: its own, and those that it has in common with a server.

use super::entries::{ENTRIES, Entry, one};

/// What a worker has in common with a server, in the order of the help.
const SHARED: [&str; 15] = [
    "insecure-public",
    "store",
    "max-bytes",
    "high-water-mark",
    "low-water-mark",
    "min-free-bytes",
    "reverify",
    "fsync",
    "sandbox",
    "network",
    "default-timeout",
    "max-timeout",
    "shutdown-grace",
    "log-format",
    "log-level",
];

const fn several(
    name: &'static str,
    value: &'static str,
    separator: char,
    help: &'static str,
    example: &'static str,
) -> Entry {
    Entry { name, value, help, example, separator: Some(separator) }
}

static OWN: [Entry; 18] = [
    one("engine", "ENGINE", "Work for this engine: buildbarn, buildgrid or nativelink", "buildgrid"),
    several(
        "scheduler",
        "ADDRESS",
        ',',
        "Take work from here: grpc://HOST:PORT, grpcs://HOST:PORT (TLS) or unix:PATH; if there are several, the next one \
         when one is gone",
        "grpc://scheduler:8983",
    ),
    several(
        "scheduler-header",
        "NAME=VALUE",
        '\n',
        "Send this header with every request to the scheduler; NAME=@FILE reads the value from a file; it is never shown. \
         Several in the variable: one per line",
        "authorization=@/etc/crosswheel/token",
    ),
    one(
        "scheduler-ca",
        "FILE",
        "PEM file of the authorities that sign the scheduler's certificate [default: those of the system]",
        "/etc/crosswheel/ca.pem",
    ),
    one(
        "scheduler-cert",
        "FILE",
        "PEM file of the certificate that the scheduler is shown",
        "/etc/crosswheel/worker.pem",
    ),
    one("scheduler-key", "FILE", "PEM file of the key of scheduler-cert", "/etc/crosswheel/worker.key"),
    one(
        "cas",
        "ADDRESS",
        "Take inputs from here and put outputs there, and results into its action cache where that is the worker's \
         business [default, of BuildGrid: the scheduler]",
        "grpc://storage:8980",
    ),
    several(
        "cas-header",
        "NAME=VALUE",
        '\n',
        "As scheduler-header, with every request to the CAS",
        "authorization=@/etc/crosswheel/token",
    ),
    one("cas-ca", "FILE", "As scheduler-ca, of the CAS", "/etc/crosswheel/ca.pem"),
    one("cas-cert", "FILE", "As scheduler-cert, for the CAS", "/etc/crosswheel/worker.pem"),
    one("cas-key", "FILE", "PEM file of the key of cas-cert", "/etc/crosswheel/worker.key"),
    one(
        "instance",
        "NAME",
        "Serve this instance: with Buildbarn all whose names begin with it; with NativeLink, whose actions say their own, one \
         that its CAS has [default: the one without a name]",
        "main",
    ),
    one(
        "name",
        "NAME",
        "Call this worker so, everywhere; no two of an engine may have the same [default: the name of this host, and what \
         tells the store from others]",
        "builder-7",
    ),
    one(
        "announce",
        "WHICH",
        "Offer Arch, OSFamily and what --pool says (`declared`), or what was found out about libc and Python, too (`all`); \
         Buildbarn gives a worker only actions that ask for exactly what it offers [default: declared]",
        "all",
    ),
    one(
        "size-class",
        "NUMBER",
        "How large this worker is, among those of the same platform: Buildbarn tries small ones first [default: 0]",
        "2",
    ),
    one(
        "keep-after-use",
        "DURATION",
        "Never remove a blob within this time after it was used: what an action needs is kept in any case, and the engine \
         has all of it [default: 10s]",
        "1m",
    ),
    one(
        "http-listen",
        "ADDRESS",
        "Serve /metrics, /healthz and /readyz here: HOST:PORT, unix:PATH, or `off` [default: 127.0.0.1:8982]",
        "off",
    ),
    several(
        "pool",
        "POOL",
        ';',
        "Slots of one platform: NAME[=ROOTFS][,slots=N][,host-directory=DIR...][,cross-cc=on|off|PROGRAM][,scratch=SIZE]\
         [,output=SIZE][,log=SIZE][,memory=SIZE][,pids=N][,collect-timeout=TIME][,PROPERTY=VALUE...]; may be repeated \
         [default: native, with one slot per core]",
        "arm64=/srv/arm64-root,slots=2",
    ),
];

/// All settings of a worker, in the order of the help and of `--print-config`.
pub fn worker_entries() -> Vec<&'static Entry> {
    let shared = ENTRIES.iter().filter(|entry| SHARED.contains(&entry.name));
    OWN.iter().chain(shared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let entries = worker_entries();
        assert_eq!(entries.len(), OWN.len() + SHARED.len());
        let names: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), entries.len());
    }
}
