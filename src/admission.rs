//! Admission without a server.
