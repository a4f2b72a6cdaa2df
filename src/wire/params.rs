//! Query parameters: each known one taken at most once (or as often as it may
//! repeat), every other refused by name. Values out of bounds are refused,
//! never cut down.

use super::{ErrorCode, Problem};
use crate::domain::{Timestamp, TopicName};
use std::{fmt::Display, str::FromStr};

/// The parameters of one request, while they are taken out one by one.
pub(super) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Params {
        Params { pairs: pairs.into_iter().collect() }
    }

    /// The value of a parameter that may come once.
    pub fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut all = self.all(name);
        match all.len() {
            0 | 1 => Ok(all.pop()),
            n => Err(Problem::parameter(name, format_args!("given {n} times, may come once"))),
        }
    }

    /// Every value of a parameter that may repeat, in order.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let taken = self.pairs.extract_if(.., |(n, _)| n == name);
        taken.map(|(_, value)| value).collect()
    }

    /// A whole number from `min` to `max`.
    pub fn number<N>(&mut self, name: &str, min: N, max: N) -> Result<Option<N>, Problem>
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        self.one(name)?.map(|text| number(name, &text, min, max)).transpose()
    }

    /// `true` or `false`; false when it is not there.
    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(Problem::parameter(name, format_args!("'{other}' is neither true nor false")))
            }
        }
    }

    /// Refuses what was not taken.
    pub fn finish(self, known: &[&str]) -> Result<(), Problem> {
        let Some((name, _)) = self.pairs.first() else { return Ok(()) };
        let known = if known.is_empty() {
            "it takes none".to_owned()
        } else {
            format!("it takes {}", known.join(", "))
        };
        let detail = format!("this call has no parameter '{name}'; {known}");
        Err(Problem::new(ErrorCode::ParameterUnknown, detail).with("parameter", name.as_str()))
    }
}

/// A whole number from `min` to `max`, written in digits alone.
pub(super) fn number<N>(name: &str, text: &str, min: N, max: N) -> Result<N, Problem>
where
    N: FromStr + PartialOrd + Display + Copy,
{
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let parsed = text.parse::<N>().ok().filter(|n| plain && *n >= min && *n <= max);
    parsed.ok_or_else(|| {
        let detail = format!("'{text}' is not a whole number from {min} to {max}");
        Problem::parameter(name, detail)
    })
}

/// A topic's name in a path or a query.
pub(super) fn topic(text: &str) -> Result<TopicName, Problem> {
    TopicName::new(text).map_err(|e| Problem::topic_name(&e).with("parameter", "topic"))
}

/// A time as RFC 3339 or as milliseconds since 1970; 1970 to 9999, else
/// `timestamp_invalid`.
pub fn parse_time(text: &str) -> Result<Timestamp, Problem> {
    let millis = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<i64>().ok()
    } else {
        text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
    };
    millis.and_then(Timestamp::from_client).ok_or_else(|| {
        // In a query a bare '+' is a space: the commonest slip with offsets.
        let hint = if text.contains(' ') { "; write '+' as %2B in a URL" } else { "" };
        let detail = format!(
            "'{text}' is neither milliseconds nor an RFC 3339 time with an offset, from 1970 to 9999{hint}"
        );
        Problem::new(ErrorCode::TimestampInvalid, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_as_milliseconds_or_rfc_3339() {
        let at = |text| parse_time(text).map(Timestamp::millis);
        assert_eq!(at("0"), Ok(0));
        assert_eq!(at("1700000000123"), Ok(1_700_000_000_123));
        assert_eq!(at("2023-11-14T22:13:20.123Z"), Ok(1_700_000_000_123));
        assert_eq!(at("2023-11-14T23:13:20.123+01:00"), Ok(1_700_000_000_123));
        for bad in
            ["", "-1", "yesterday", "2023-11-14", "1969-12-31T23:59:59Z", "99999999999999999"]
        {
            assert_eq!(parse_time(bad).unwrap_err().code, ErrorCode::TimestampInvalid, "{bad}");
        }
        assert!(parse_time("2023-11-14T23:13:20 01:00").unwrap_err().detail.contains("%2B"));
    }

    #[test]
    fn what_was_not_taken_is_refused_by_name() {
        let mut params = Params::new([("a".to_owned(), "1".to_owned()), ("b".into(), "2".into())]);
        assert_eq!(params.number("a", 1u32, 5), Ok(Some(1)));
        let problem = params.finish(&["a"]).unwrap_err();
        assert_eq!(problem.code, ErrorCode::ParameterUnknown);
        assert_eq!(problem.extras["parameter"], "b");
    }
}
