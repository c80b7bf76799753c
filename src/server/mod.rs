//! The services of the Remote Execution API on a socket. Knows nothing of files and processes.

mod status;
