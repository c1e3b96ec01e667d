//! Small programs of known behaviour.
