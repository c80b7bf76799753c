//! The names of all settings: one table for flags, environment, file and help.

/// A setting as a person writes it.
#[derive(Debug)]
pub struct Entry {
    /// `max-bytes`: `--max-bytes` on the command line, `CROSSWHEEL_MAX_BYTES` in the environment and
    /// `max-bytes` in the file.
    pub name: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// What it does, and its default.
    pub help: &'static str,
    /// A value that is not the default, for the manual.
    pub example: &'static str,
    /// What separates several values in the environment, if there can be several. On the command line the flag
    /// is repeated then, in the file it is an array.
    pub separator: Option<char>,
}

impl Entry {
    /// The entry with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ENTRIES.iter().find(|entry| entry.name == name)
    }

    /// Whether it is `on` or `off`.
    pub fn is_switch(&self) -> bool {
        self.value == "on|off"
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        variable(self.name)
    }
}

/// The environment variable of the setting `name`.
pub(super) fn variable(name: &str) -> String {
    format!("CROSSWHEEL_{}", name.replace('-', "_").to_uppercase())
}

pub(super) const fn one(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    example: &'static str,
) -> Entry {
    Entry { name, value, help, example, separator: None }
}

/// All settings, in the order of the help and of `--print-config`.
pub static ENTRIES: &[Entry] = &[
    Entry {
        name: "listen",
        value: "ADDRESS",
        help: "Serve gRPC here: HOST:PORT (port 0 takes a free one) or unix:PATH; may be repeated \
               [default: 127.0.0.1:8980]",
        example: "127.0.0.1:9980",
        separator: Some(','),
    },
    one(
        "http-listen",
        "ADDRESS",
        "Serve /metrics, /healthz and /readyz here: HOST:PORT, unix:PATH, or `off` [default: 127.0.0.1:8981]",
        "off",
    ),
    one(
        "insecure-public",
        "on|off",
        "Listen where other machines can reach it, too, although there is no authentication: whoever does may run \
         programs here [default: off]",
        "on",
    ),
    one(
        "max-connections",
        "NUMBER",
        "Let further connections wait when there are so many [default: a quarter of the open files that there may be, \
         at most 4096]",
        "500",
    ),
    one(
        "max-connections-per-client",
        "NUMBER",
        "Close further connections from one address, or of one user of this machine, when there are so many \
         [default: 256, at most three quarters of max-connections]",
        "100",
    ),
    one(
        "first-call-timeout",
        "DURATION",
        "End a connection on which there was no call for so long after it was made [default: 1m]",
        "10s",
    ),
    one(
        "max-call-bytes",
        "SIZE",
        "Refuse calls, for the time being, when requests that are being received and answers that wait to be sent take \
         so much memory [default: 512MiB]",
        "256MiB",
    ),
    one(
        "store",
        "DIR",
        "Keep blobs and action results here [default: crosswheel/store in the user's cache directory]",
        "/var/cache/crosswheel",
    ),
    one(
        "max-bytes",
        "SIZE",
        "Keep at most so many bytes of blobs, such as 50GiB, or `unlimited` [default: half of the disk]",
        "50GiB",
    ),
    one(
        "high-water-mark",
        "PERCENT",
        "Start to remove the blobs unused for longest at so much of max-bytes [default: 95%]",
        "90%",
    ),
    one("low-water-mark", "PERCENT", "Stop to remove blobs at so much of max-bytes [default: 85%]", "75%"),
    one(
        "min-free-bytes",
        "SIZE",
        "Remove blobs, whatever max-bytes allows, when less than this is left on the disk [default: 2% of the disk, \
         at most 2GiB]",
        "10GiB",
    ),
    one(
        "keep-after-use",
        "DURATION",
        "Never remove a blob within this time after it was used or reported to be there [default: 10m]",
        "1h",
    ),
    one(
        "reverify",
        "DURATION",
        "Hash a blob again before it is used when its last proof is as old as this; what an earlier process wrote is \
         hashed at its first use in any case. 0s: not again [default: 7days]",
        "1day",
    ),
    one(
        "fsync",
        "on|off",
        "Write blobs through to the disk before they appear, so that not even a power failure costs any; slow \
         [default: off]",
        "on",
    ),
    Entry {
        name: "pool",
        value: "POOL",
        help: "Workers of one platform: NAME[=ROOTFS][,slots=N][,preference=N][,host-directory=DIR...]\
               [,cross-cc=on|off|PROGRAM][,scratch=SIZE][,output=SIZE][,log=SIZE][,memory=SIZE][,pids=N][,collect-timeout=TIME]\
               [,PROPERTY=VALUE...]; may be repeated [default: native, with one slot per core]",
        example: "wheels,slots=3,preference=1,Pool=wheels",
        separator: Some(';'),
    },
    one(
        "sandbox",
        "MODE",
        "Run actions in namespaces of their own: `auto` where the host allows it, `required` or not at all, \
         `off` [default: auto]",
        "required",
    ),
    one("network", "on|off", "Let actions use the network of this host [default: off]", "on"),
    one("default-timeout", "DURATION", "For actions that ask for no timeout [default: 1h]", "30m"),
    one("max-timeout", "DURATION", "Refuse actions that ask for a longer timeout [default: 1day]", "6h"),
    one(
        "max-queued-actions",
        "NUMBER",
        "Refuse further actions when so many are waiting [default: 100000]",
        "1000",
    ),
    one(
        "max-queue-bytes",
        "SIZE",
        "Refuse further actions when what is known of those that have not ended takes so much memory \
         [default: 512MiB]",
        "64MiB",
    ),
    one(
        "unattended-grace",
        "DURATION",
        "Cancel an action when no client has waited for it for so long [default: 1m]",
        "10m",
    ),
    one(
        "update-action-result",
        "on|off",
        "Let clients write to the action cache, and so decide what others get from it; our own workers always do \
         [default: off]",
        "on",
    ),
    one(
        "max-batch-bytes",
        "SIZE",
        "Most bytes of blobs in one BatchUpdateBlobs or BatchReadBlobs; most clients take messages of 4MiB at most \
         [default: 4000000]",
        "8MiB",
    ),
    one(
        "upload-idle-timeout",
        "DURATION",
        "Forget an upload that was broken off when nobody goes on with it for so long, and end one that sends \
         nothing for so long [default: 10m]",
        "5m",
    ),
    one(
        "shutdown-grace",
        "DURATION",
        "After SIGTERM or Ctrl-C let running actions go on for at most so long [default: 30s]",
        "5m",
    ),
    one(
        "log-format",
        "text|json",
        "How to write the log, which goes to standard error [default: text]",
        "json",
    ),
    one(
        "log-level",
        "LEVEL",
        "What to log: error, warn, info, debug, trace, or directives such as \
         info,crosswheel::queue=debug [default: info]",
        "info,crosswheel::queue=debug",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_has_a_variable() {
        for entry in ENTRIES {
            assert!(std::ptr::eq(Entry::find(entry.name).unwrap(), entry), "{} is there twice", entry.name);
        }
        assert_eq!(Entry::find("max-bytes").unwrap().variable(), "CROSSWHEEL_MAX_BYTES");
    }
}
