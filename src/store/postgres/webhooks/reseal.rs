//! Secrets under the current key.

use super::super::{OpenError, session::Session};
use crate::store::Keys;

pub async fn reseal(_: &Session, _: &Keys) -> Result<(), OpenError> {
    Ok(())
}
