//! The process' file descriptors: each connection takes one, of callers, to agents and to receivers of webhooks.
//!
//! Systems start programs with a low limit that these may raise themselves, up to a hard one.

/// Raises the limit as far as the process may, and returns it. None: there is no limit, or no way to know it.
#[cfg(unix)]
pub fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let found = getrlimit(Resource::Nofile);
    if found.current == found.maximum {
        return found.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: found.maximum, maximum: found.maximum }) {
        Ok(()) => {
            tracing::debug!(from = ?found.current, to = ?found.maximum, "the limit of open files was raised");
            found.maximum
        }
        Err(error) => {
            tracing::warn!(%error, limit = ?found.current, "the limit of open files cannot be raised");
            found.current
        }
    }
}

/// Other systems have no such limit to raise.
#[cfg(not(unix))]
pub fn raise_limit() -> Option<u64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        use rustix::process::{Resource, getrlimit};
        let raised = raise_limit();
        let found = getrlimit(Resource::Nofile);
        assert_eq!((found.current, found.current), (found.maximum, raised));
    }
}
