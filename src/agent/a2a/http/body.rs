//! An answer: its head, and its body with a size limit and deadlines.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Limits, fault, place, spoken};
use crate::agent::a2a::link::CallError;

/// An answer whose body has not been read.
pub(in crate::agent::a2a) struct Reply {
    response: reqwest::Response,
    /// When all of it must be there; none: only silence is limited.
    end: Option<Instant>,
    limits: Limits,
}

impl Reply {
    pub(super) fn new(response: reqwest::Response, end: Option<Instant>, limits: Limits) -> Self {
        Self { response, end, limits }
    }

    pub(in crate::agent::a2a) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(in crate::agent::a2a) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Where it came from, as texts name it.
    pub(in crate::agent::a2a) fn place(&self) -> String {
        place(self.response.url())
    }

    /// The largest single event, in bytes.
    pub(in crate::agent::a2a) fn limit(&self) -> usize {
        self.limits.size
    }

    /// Whether it is of this media type.
    pub(in crate::agent::a2a) fn is(&self, media_type: &str) -> bool {
        let value = self.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
    }

    /// The whole body, of at most `limit` bytes.
    pub(in crate::agent::a2a) async fn read(&mut self, limit: usize) -> Result<Bytes, CallError> {
        let large = |place| CallError::Malformed(format!("the answer of {place} is larger than {limit} bytes"));
        if self.response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(large(self.place()));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > limit - body.len() {
                return Err(large(self.place()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The next piece of the body; none: it has ended as it should.
    pub(in crate::agent::a2a) async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        let silence = self.limits.silence;
        let next = match self.end {
            Some(end) => timeout_at(end, self.response.chunk()).await.map_err(|_| self.late(self.limits.answer))?,
            None => timeout(silence, self.response.chunk()).await.map_err(|_| self.silent(silence))?,
        };
        next.map_err(|error| fault::lost(&error, &self.place()))
    }

    fn late(&self, limit: Duration) -> CallError {
        CallError::Lost(format!("the answer of {} was not complete within {}", self.place(), spoken(limit)))
    }

    fn silent(&self, limit: Duration) -> CallError {
        CallError::Lost(format!("nothing came from {} for {}", self.place(), spoken(limit)))
    }
}
