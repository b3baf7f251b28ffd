//! The writers.

use std::sync::Arc;

use super::Shared;
use crate::{
    error::{Error, Result},
    store::{Append, NewTask, Receipt},
};

pub struct Writer {}

impl Writer {
    pub fn start(_: &Arc<Shared>) -> Self {
        Self {}
    }
    pub async fn create(&self, _: NewTask) -> Result<Receipt> {
        Err(Error::internal("stub", "stub"))
    }
    pub async fn append(&self, _: Append) -> Result<Receipt> {
        Err(Error::internal("stub", "stub"))
    }
    pub async fn close(&self) {}
}
