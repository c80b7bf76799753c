//! Operators who let in the whole network without meaning to.

use crate::support::server::{Server, serve_command};
use crate::support::waiting::InTime;

/// An address of this machine that others can reach, perhaps.
const PUBLIC: [&str; 4] = ["0.0.0.0:0", "[::]:0", "192.0.2.1:8980", "[::ffff:0.0.0.0]:0"];

#[test]
fn nothing_listens_where_others_can_reach_it_unless_that_is_said() {
    for address in PUBLIC {
        for (listen, http) in [(address, "off"), ("127.0.0.1:0", address)] {
            let directory = tempfile::tempdir().unwrap();
            let store = directory.path().join("store");
            let mut command = serve_command(&["--listen", listen, "--http-listen", http, "--store"]);
            let output = command.arg(&store).output_in_time();
            assert_eq!(output.status.code(), Some(2), "{listen} {http}: {output:?}");
            let error = String::from_utf8_lossy(&output.stderr);
            for part in [address, "no authentication", "unix:PATH", "--insecure-public"] {
                assert!(error.contains(part), "{part}: {error}");
            }
            assert!(!store.exists(), "it was refused before anything was done");
        }
    }
}

#[test]
fn who_says_that_the_network_is_trusted_is_told_who_may_do_what() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("socket").display());
    let arguments = ["--listen", "0.0.0.0:0", "--listen", &socket, "--insecure-public"];
    let server = Server::start(directory.path(), &arguments);
    let access = server.start["access"].as_str().unwrap();
    for part in
        ["any user here who reaches 127.0.0.1:", "anyone who reaches 0.0.0.0:", "socket may", "execute"]
    {
        assert!(access.contains(part), "{part}: {access}");
    }
}
