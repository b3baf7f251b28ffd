mod answers;
mod fake;
mod faults;
mod tls;

pub(super) use fake::settings;
