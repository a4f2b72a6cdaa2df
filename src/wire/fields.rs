//! Parsing records out of JSON without building values: what a record's
//! fields are while they are gathered, where the parser stands when it has to
//! refuse, and the walk over a list of them.

use super::{
    ErrorCode, Problem,
    json::{refused, utf8},
};
use crate::domain::{Header, PartitionId, RecordDraft, Timestamp, ValueKind, limits};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{borrow::Cow, fmt, marker::PhantomData};

/// What one record is made of, borrowed from the body where it can be.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub partition: Option<PartitionId>,
    pub timestamp: Option<Timestamp>,
    pub key: Option<Cow<'a, [u8]>>,
    pub headers: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    pub kind: ValueKind,
    pub value: Cow<'a, [u8]>,
}

impl Fields<'_> {
    /// Hands the record on. A draft borrows its headers' names, which may live
    /// no longer than this.
    pub fn hand_to<R>(self, f: impl FnOnce(RecordDraft<'_>) -> R) -> R {
        let (names, values): (Vec<_>, Vec<_>) = self.headers.into_iter().unzip();
        let headers = names.iter().zip(values).map(|(name, value)| Header { name, value });
        f(RecordDraft {
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key,
            headers: headers.collect(),
            kind: self.kind,
            value: self.value,
        })
    }
}

/// Where the parser stands, to tell a refusal by.
pub(super) struct Place {
    /// The record's index in the request.
    record: Option<usize>,
    /// What a wrong shape means here, if not [`ErrorCode::BodyInvalid`].
    shape: Option<ErrorCode>,
    /// The field that is being read.
    pub field: Option<&'static str>,
    /// The refusal, where it says more than the parser's error can carry.
    problem: Option<Problem>,
}

impl Place {
    fn new() -> Place {
        Place { record: None, shape: None, field: None, problem: None }
    }

    /// Refuses with a problem of our own.
    pub fn fail<E: Error>(&mut self, problem: Problem) -> E {
        self.problem = Some(problem);
        E::custom("refused")
    }

    /// Refuses the record for its shape.
    pub fn misshapen<E: Error>(&mut self, detail: impl Into<String>) -> E {
        let code = self.code();
        self.fail(Problem::new(code, detail))
    }

    fn code(&self) -> ErrorCode {
        match (self.shape, self.field) {
            (Some(ErrorCode::RecordInvalid), Some("timestamp")) => ErrorCode::TimestampInvalid,
            (Some(ErrorCode::RecordInvalid), Some("headers")) => ErrorCode::HeaderInvalid,
            (Some(shape), _) => shape,
            (None, _) => ErrorCode::BodyInvalid,
        }
    }

    /// The refusal to tell the client.
    fn problem(self, error: &serde_json::Error, body: &[u8]) -> Problem {
        let code = self.code();
        let mut problem = self.problem.unwrap_or_else(|| {
            let mut problem = refused(error, body, code);
            if let Some(field) = self.field.filter(|_| problem.code == code) {
                problem.detail = format!("field '{field}': {}", problem.detail);
            }
            problem
        });
        if let Some(index) = self.record {
            if !problem.extras.contains_key("record") {
                problem.detail = format!("record {index}: {}", problem.detail);
            }
            problem = problem.at_record(index);
        }
        problem
    }
}

/// A kind of JSON object that is a record.
pub(super) trait Shape {
    /// What it is called in errors.
    const NAME: &'static str;
    /// The code of a wrong shape.
    const CODE: ErrorCode;

    /// Gathers the fields of one object.
    fn gather<'de, A: MapAccess<'de>>(map: A, place: &mut Place) -> Result<Fields<'de>, A::Error>;
}

struct OneSeed<'p, S>(&'p mut Place, PhantomData<S>);

impl<'de, S: Shape> DeserializeSeed<'de> for OneSeed<'_, S> {
    type Value = Fields<'de>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Fields<'de>, D::Error> {
        self.0.shape = Some(S::CODE);
        self.0.field = None;
        d.deserialize_map(self)
    }
}

impl<'de, S: Shape> Visitor<'de> for OneSeed<'_, S> {
    type Value = Fields<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::NAME)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields<'de>, A::Error> {
        S::gather(map, self.0)
    }
}

/// Takes each record of a list, with its index.
pub(super) trait Take: FnMut(usize, RecordDraft<'_>) -> Result<(), Problem> {}
impl<F: FnMut(usize, RecordDraft<'_>) -> Result<(), Problem>> Take for F {}

/// An array of records, each handed on as soon as it is read.
pub(super) struct ListSeed<'p, S, F> {
    place: &'p mut Place,
    take: F,
    shape: PhantomData<S>,
}

impl<'p, S: Shape, F: Take> ListSeed<'p, S, F> {
    pub fn new(place: &'p mut Place, take: F) -> Self {
        ListSeed { place, take, shape: PhantomData }
    }
}

impl<'de, S: Shape, F: Take> DeserializeSeed<'de> for ListSeed<'_, S, F> {
    type Value = usize;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<usize, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de, S: Shape, F: Take> Visitor<'de> for ListSeed<'_, S, F> {
    type Value = usize;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array, each element {}", S::NAME)
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        loop {
            self.place.record = Some(count);
            let one = OneSeed::<S>(self.place, PhantomData);
            let Some(fields) = seq.next_element_seed(one)? else { break };
            if count == limits::MAX_BATCH_RECORDS {
                self.place.record = None;
                return Err(self.place.fail(too_many()));
            }
            self.place.field = None;
            let taken = fields.hand_to(|draft| (self.take)(count, draft));
            taken.map_err(|problem| self.place.fail::<A::Error>(problem))?;
            count += 1;
        }
        (self.place.record, self.place.shape, self.place.field) = (None, None, None);
        Ok(count)
    }
}

fn too_many() -> Problem {
    let max = limits::MAX_BATCH_RECORDS;
    Problem::new(ErrorCode::BatchTooLarge, format!("more than {max} records in one request"))
}

/// Parses one object that is a record.
pub(super) fn one<S: Shape>(body: &[u8]) -> Result<Fields<'_>, Problem> {
    walk(body, |place, json| OneSeed::<S>(place, PhantomData).deserialize(json))
}

/// Parses a body that is an array of records, and hands each on.
pub(super) fn list<S: Shape>(body: &[u8], take: impl Take) -> Result<usize, Problem> {
    let count = walk(body, |place, json| ListSeed::<S, _>::new(place, take).deserialize(json))?;
    not_empty(count)
}

/// `batch_empty` for a list without records.
pub(super) fn not_empty(count: usize) -> Result<usize, Problem> {
    if count == 0 {
        return Err(Problem::new(ErrorCode::BatchEmpty, "there is no record in the request"));
    }
    Ok(count)
}

/// serde_json's reader of a text.
pub(super) type Json<'a> = serde_json::Deserializer<serde_json::de::StrRead<'a>>;

/// Parses a body to its end; refusals name their place.
pub(super) fn walk<'a, T>(
    body: &'a [u8],
    parse: impl FnOnce(&mut Place, &mut Json<'a>) -> serde_json::Result<T>,
) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(utf8(body)?);
    let mut place = Place::new();
    let parsed = parse(&mut place, &mut json).and_then(|parsed| {
        json.end()?;
        Ok(parsed)
    });
    parsed.map_err(|error| place.problem(&error, body))
}

/// A string, borrowed where it holds no escapes.
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}
