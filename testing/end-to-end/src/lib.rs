//! Real processes looked at by the real command.
