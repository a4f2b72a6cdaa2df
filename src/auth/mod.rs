//! Who may do what: the rights that a token carries, and the decision by them.
//! Pure: a token is read and checked elsewhere.
//!
//! ```text
//! scope ─────────────────┐
//!                        ├─► Rights (grants, remarks) ─┬─ authorize(ask) ─► Verdict
//! authorization_details ─┘                             └─ explain(ask) ───► why
//! ```
//!
//! There are grants only, no denials: what no grant allows is refused, and one
//! more grant never takes anything away. A grant that is not understood in all
//! its parts grants nothing, since the part may be what narrows it.

mod authorize;
mod details;
mod grant;
mod pattern;
mod rights;
mod scope;
#[cfg(test)]
mod tests;

pub use authorize::{Ask, Reach, Verdict, Why};
pub use grant::Action;
pub use pattern::{Pattern, PatternError};
pub use rights::{MAX_GRANTED_KEYS, MAX_PATTERNS, Remark, Rights, RightsError};
