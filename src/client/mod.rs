//! A client of the Remote Execution API: uploads what is missing, executes, watches, downloads.
//! Knows nothing of Python.
