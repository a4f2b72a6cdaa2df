//! Every way in which the API says no. One enum for all transports; a row of
//! `code_table.rs` is all there is to know about a code, so none can be added
//! without its status, its three answers and its help page.

use std::fmt;

/// What the page under `/docs/errors/` says about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Help {
    /// One line.
    pub title: &'static str,
    /// What has happened; plain text.
    pub meaning: &'static str,
    /// What to do about it; plain text.
    pub remedy: &'static str,
}

/// Whether the same request, sent again unchanged, may succeed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It may; the client chooses when.
    Yes,
    /// It may, after about this many seconds.
    After(u32),
    /// It will be refused again.
    No,
}

/// Whether the refused request may have had an effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Certainly not.
    None,
    /// Perhaps.
    Maybe,
}

/// Makes the enum of the rows: `Variant = "code", status, Again, Effect,
/// title, meaning, remedy;`. Each question becomes a match without a `_` arm.
macro_rules! error_codes {
    ($($variant:ident = $code:literal, $status:literal, $again:expr, $effect:expr,
       $title:literal, $meaning:literal, $remedy:literal;)*) => {
        /// What went wrong, for programs. Texts change, codes do not.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, utoipa::ToSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $(#[doc = $title] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code as clients see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $code,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(ErrorCode::$variant => $status,)* }
            }

            /// One line on what happened.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(ErrorCode::$variant => $title,)* }
            }

            /// What happened, for the help page.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(ErrorCode::$variant => $meaning,)* }
            }

            /// What to do about it, for the help page.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(ErrorCode::$variant => $remedy,)* }
            }

            pub(super) const fn again(self) -> Again {
                match self { $(ErrorCode::$variant => $again,)* }
            }

            pub(super) const fn effect(self) -> Effect {
                match self { $(ErrorCode::$variant => $effect,)* }
            }
        }
    };
}
pub(super) use error_codes;

pub use super::code_table::ErrorCode;

impl ErrorCode {
    /// The code of this text, if there is one.
    #[must_use]
    pub fn parse(code: &str) -> Option<ErrorCode> {
        Self::ALL.iter().copied().find(|c| c.as_str() == code)
    }

    /// Whether the same request may succeed when it is sent again.
    #[must_use]
    pub fn retryable(self) -> bool {
        self.again() != Again::No
    }

    /// How long to wait before that, seconds, where the gateway has a view:
    /// with every 429 and 503.
    #[must_use]
    pub fn retry_after_secs(self) -> Option<u32> {
        match self.again() {
            Again::After(seconds) => Some(seconds),
            Again::Yes | Again::No => None,
        }
    }

    /// Whether the request may have had an effect all the same.
    #[must_use]
    pub fn may_have_happened(self) -> bool {
        self.effect() == Effect::Maybe
    }

    /// Where the help page is.
    #[must_use]
    pub fn page(self) -> String {
        format!("/docs/errors/{}", self.as_str())
    }

    /// What the help page says.
    #[must_use]
    pub fn help(self) -> Help {
        Help { title: self.title(), meaning: self.meaning(), remedy: self.remedy() }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use utoipa::PartialSchema;

    #[test]
    fn every_code_is_explained_in_words_of_its_own() {
        let (mut codes, mut titles, mut texts) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for &code in ErrorCode::ALL {
            let Help { title, meaning, remedy } = code.help();
            assert!(codes.insert(code.as_str()), "{code}");
            assert!(titles.insert(title), "{title}");
            assert!(meaning.len() >= 40 && texts.insert(meaning), "{code}: {meaning}");
            assert!(remedy.len() >= 40 && texts.insert(remedy), "{code}: {remedy}");
            let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
            assert!(code.as_str().bytes().all(plain), "{code}");
        }
    }

    #[test]
    fn a_code_is_read_back_from_its_text() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        assert_eq!(ErrorCode::parse("nonsense"), None);
        let schema = serde_json::to_value(ErrorCode::schema()).unwrap();
        let told: Vec<_> = schema["enum"].as_array().unwrap().iter().collect();
        let all: Vec<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(told, all);
    }

    #[test]
    fn the_three_answers_fit_the_status() {
        for &code in ErrorCode::ALL {
            let status = code.status();
            assert!((400..600).contains(&status), "{code}");
            if matches!(status, 429 | 503) {
                assert!(code.retryable() && code.retry_after_secs().is_some(), "{code}");
            }
            if code.may_have_happened() {
                assert!(status >= 500 || code == ErrorCode::IdempotencyInProgress, "{code}");
            }
        }
    }
}
