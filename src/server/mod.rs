pub mod settings;
mod listen;
mod observe;
mod caller;
pub use settings::Settings;
