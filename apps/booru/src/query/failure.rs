//! What is wrong with a query, and where.

use super::QueryError;

/// `at` counts the characters before the place.
pub(super) fn fail<T>(at: usize, message: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError {
        character: at + 1,
        message: message.into(),
    })
}
