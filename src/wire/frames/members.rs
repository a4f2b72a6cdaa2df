//! The members of one frame: looked at once as text, then taken one by one by
//! what the frame's `op` allows. What is left over is unknown, and refused.

use super::{MAX_FRAME_NUMBER, RequestId, SubId};
use crate::wire::{
    ErrorCode, Problem,
    fields::Text,
    json::{refused, utf8},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// More members than any frame has.
const MAX_MEMBERS: usize = 32;

/// The members of a JSON object, each once, values as text.
pub(super) struct Members<'a> {
    left: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// What is wrong with the object as such.
struct Shape(Option<String>);

impl<'a> Members<'a> {
    /// Splits a frame. Fails on what is no JSON object with each member once.
    pub fn of(frame: &'a [u8]) -> Result<Members<'a>, Problem> {
        let text = utf8(frame)?;
        let mut shape = Shape(None);
        let mut json = serde_json::Deserializer::from_str(text);
        let split = json.deserialize_map(Split(&mut shape)).and_then(|left| {
            json.end()?;
            Ok(Members { left })
        });
        split.map_err(|error| match shape.0 {
            Some(detail) => Problem::new(ErrorCode::FrameInvalid, detail),
            None => {
                let mut problem = refused(&error, frame, ErrorCode::FrameInvalid);
                problem.detail = format!("the frame: {}", problem.detail);
                problem
            }
        })
    }

    /// Takes a member's text out.
    pub fn raw(&mut self, name: &str) -> Option<&'a str> {
        let at = self.left.iter().position(|(known, _)| known == name)?;
        Some(self.left.swap_remove(at).1.get())
    }

    /// Takes a member that may be left out; `null` is not leaving it out.
    pub fn maybe<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        self.raw(name).map(|text| typed(name, text)).transpose()
    }

    /// Takes a member that must be there.
    pub fn must<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T, Problem> {
        let text = self.must_raw(name)?;
        typed(name, text)
    }

    /// Takes the text of a member that must be there.
    pub fn must_raw(&mut self, name: &str) -> Result<&'a str, Problem> {
        self.raw(name).ok_or_else(|| invalid(format!("member '{name}' is missing")))
    }

    /// Takes `id`, which must be there.
    pub fn id(&mut self) -> Result<RequestId, Problem> {
        self.number("id").map(RequestId)
    }

    /// Takes `sub`, which must be there.
    pub fn sub(&mut self) -> Result<SubId, Problem> {
        self.number("sub").map(SubId)
    }

    /// A number of this name, if there is one that can be given back.
    pub fn peek(&self, name: &str) -> Option<u64> {
        let (_, raw) = self.left.iter().find(|(known, _)| known == name)?;
        number(name, raw.get()).ok()
    }

    fn number(&mut self, name: &str) -> Result<u64, Problem> {
        number(name, self.must_raw(name)?)
    }

    /// Takes `id` where it may be left out.
    pub fn maybe_id(&mut self) -> Result<Option<RequestId>, Problem> {
        self.raw("id").map(|text| number("id", text).map(RequestId)).transpose()
    }

    /// Refuses what was not taken.
    pub fn finish(self, op: &str) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        Err(invalid(format!("unknown member '{name}' in a frame '{op}'")))
    }
}

/// `frame_invalid`.
pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::FrameInvalid, detail)
}

/// A member's value of the type that it must have.
pub(super) fn typed<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| {
        // Line and column would be those of the member.
        let told = error.to_string();
        let told = told.split(" at line ").next().unwrap_or_default();
        invalid(format!("member '{name}': {told}"))
    })
}

/// A number that is exact in every language.
pub(super) fn number(name: &str, text: &str) -> Result<u64, Problem> {
    let parsed = text.parse::<u64>().ok().filter(|n| *n <= MAX_FRAME_NUMBER);
    parsed.ok_or_else(|| {
        invalid(format!("member '{name}' must be a whole number from 0 to {MAX_FRAME_NUMBER}"))
    })
}

struct Split<'p>(&'p mut Shape);

impl<'de> Visitor<'de> for Split<'_> {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::with_capacity(8);
        while let Some(Text(name)) = map.next_key()? {
            if members.iter().any(|(known, _)| *known == name) {
                self.0.0 = Some(format!("member '{name}' is given twice"));
                return Err(A::Error::custom("refused"));
            }
            if members.len() == MAX_MEMBERS {
                self.0.0 = Some(format!("more than {MAX_MEMBERS} members"));
                return Err(A::Error::custom("refused"));
            }
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}
