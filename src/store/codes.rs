//! How what a task is made of is written in rows, whatever the database.

use crate::task::Dialect;

/// How a dialect is stored.
pub fn dialect_code(dialect: Dialect) -> i32 {
    match dialect {
        Dialect::V1 => 0,
        Dialect::V03 => 1,
        Dialect::Praison => 2,
    }
}

/// See [`dialect_code`].
pub fn dialect_of(code: i32) -> Dialect {
    match code {
        1 => Dialect::V03,
        2 => Dialect::Praison,
        _ => Dialect::V1,
    }
}
