//! The errors that tests expect, each with its form on every binding: a table of its own, so that a change of the
//! gateway's is noticed.

use tonic::Code;

use super::{Dialect, Fault};

/// One kind of error.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    reason: &'static str,
    domain: &'static str,
    grpc: Code,
    v1: i32,
    v03: i32,
    praison: i32,
    /// The HTTP statuses of REST in 1.0 and in 0.3.
    http: [u16; 2],
}

const fn a2a(reason: &'static str, grpc: Code, [v1, v03, praison]: [i32; 3], http: [u16; 2]) -> Kind {
    Kind { reason, domain: "a2a-protocol.org", grpc, v1, v03, praison, http }
}

const fn own(reason: &'static str, grpc: Code, [v1, v03, praison]: [i32; 3], http: [u16; 2]) -> Kind {
    Kind { reason, domain: "a2a-gateway", grpc, v1, v03, praison, http }
}

pub const TASK_NOT_FOUND: Kind = a2a("TASK_NOT_FOUND", Code::NotFound, [-32001, -32001, -32000], [404, 404]);
pub const TASK_NOT_CANCELABLE: Kind =
    a2a("TASK_NOT_CANCELABLE", Code::FailedPrecondition, [-32002, -32002, -32002], [400, 409]);
pub const PUSH_NOT_SUPPORTED: Kind =
    a2a("PUSH_NOTIFICATION_NOT_SUPPORTED", Code::FailedPrecondition, [-32003, -32003, -32601], [400, 501]);
pub const UNSUPPORTED_OPERATION: Kind =
    a2a("UNSUPPORTED_OPERATION", Code::FailedPrecondition, [-32004, -32004, -32600], [400, 501]);
pub const CONTENT_TYPE_NOT_SUPPORTED: Kind =
    a2a("CONTENT_TYPE_NOT_SUPPORTED", Code::InvalidArgument, [-32005, -32005, -32600], [400, 415]);
pub const INVALID_AGENT_RESPONSE: Kind =
    a2a("INVALID_AGENT_RESPONSE", Code::Internal, [-32006, -32006, -32603], [500, 502]);
pub const EXTENSION_SUPPORT_REQUIRED: Kind =
    a2a("EXTENSION_SUPPORT_REQUIRED", Code::FailedPrecondition, [-32008, -32004, -32600], [400, 400]);
pub const EXTENDED_CARD_NOT_CONFIGURED: Kind =
    a2a("EXTENDED_AGENT_CARD_NOT_CONFIGURED", Code::FailedPrecondition, [-32007, -32007, -32600], [400, 404]);
pub const VERSION_NOT_SUPPORTED: Kind =
    a2a("VERSION_NOT_SUPPORTED", Code::FailedPrecondition, [-32009, -32004, -32600], [400, 400]);
pub const INVALID_ARGUMENT: Kind = a2a("INVALID_PARAMS", Code::InvalidArgument, [-32602, -32602, -32602], [400, 422]);
pub const UNAUTHENTICATED: Kind = own("UNAUTHENTICATED", Code::Unauthenticated, [-31401, -32600, -32600], [401, 401]);
pub const AGENT_NOT_FOUND: Kind = own("AGENT_NOT_FOUND", Code::NotFound, [-32001, -32001, -32000], [404, 404]);
pub const WEBHOOK_LIMIT: Kind = own("WEBHOOK_LIMIT", Code::ResourceExhausted, [-32602, -32602, -32602], [400, 400]);
pub const REQUEST_ID_REUSED: Kind = own("REQUEST_ID_REUSED", Code::AlreadyExists, [-32602, -32602, -32602], [409, 409]);
pub const SEQUENCE_TRIMMED: Kind = own("SEQUENCE_TRIMMED", Code::OutOfRange, [-32602, -32602, -32602], [400, 400]);
pub const SEQUENCE_AHEAD: Kind = own("SEQUENCE_AHEAD", Code::OutOfRange, [-32602, -32602, -32602], [400, 400]);
pub const REQUEST_TOO_LARGE: Kind =
    own("REQUEST_TOO_LARGE", Code::ResourceExhausted, [-32600, -32600, -32600], [413, 413]);

impl Fault {
    /// Checks that it is of the kind, in its form.
    #[track_caller]
    pub fn is(&self, kind: &Kind) -> &Self {
        let [v1, v03] = kind.http;
        let code = match self.form {
            None => kind.grpc as i32,
            // In 1.0 the code of REST is the HTTP status.
            Some(Dialect::V1) if self.status.is_some() => i32::from(v1),
            Some(Dialect::V1) => kind.v1,
            Some(Dialect::V03) => kind.v03,
            Some(Dialect::Praison) => kind.praison,
        };
        assert_eq!(self.code, code, "{} expected, got {self:?}", kind.reason);
        if self.form == Some(Dialect::V03) {
            assert!(self.status.is_none_or(|status| status == v03), "{} expected, got {self:?}", kind.reason);
        }
        assert!(!self.message.is_empty());
        if self.form == Some(Dialect::Praison) {
            assert!(self.info.is_none());
        } else {
            let info = self.info.as_ref().expect("an ErrorInfo");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (kind.reason, kind.domain), "{self:?}");
        }
        self
    }

    /// Checks that it is about the field, given in proto names.
    #[track_caller]
    pub fn is_about(&self, field: &str) -> &Self {
        self.is(&INVALID_ARGUMENT);
        assert!(self.names(field), "{field} is not named by {self:?}");
        self
    }
}
