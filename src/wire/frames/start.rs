//! `from`: `"earliest"`, `"latest"`, or an object of one member: `last`,
//! `offset`, `time`, `cursor` or `positions`.

use super::members::{Members, invalid, number, typed};
use crate::{
    domain::{
        Cursor, Epoch, Incarnation, Offset, PartitionId, Position, StartAt, TopicName,
        TopicPositions, limits,
    },
    wire::{ErrorCode, Problem, ReadStart, fields::Text, params::parse_time},
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where a subscription begins that does not say: with what comes from now on.
pub(super) const DEFAULT: ReadStart = ReadStart::At(StartAt::Latest);

const KNOWN: &str = "\"earliest\", \"latest\", or an object of one of last, offset, time, cursor \
                     and positions";

/// The positions of a topic, as a cursor holds them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Positions {
    incarnation: String,
    partitions: BTreeMap<u32, (u32, u64)>,
}

pub(super) fn parse(text: &str) -> Result<ReadStart, Problem> {
    if !text.starts_with('{') {
        let name: Text<'_> = typed("from", text)?;
        return match &*name.0 {
            "earliest" => Ok(ReadStart::At(StartAt::Earliest)),
            "latest" => Ok(ReadStart::At(StartAt::Latest)),
            other => Err(invalid(format!("member 'from': '{other}' is not {KNOWN}"))),
        };
    }
    let mut members = Members::of(text.as_bytes())?;
    let start = one_of(&mut members)?;
    members.finish("from").map_err(|_| invalid(format!("member 'from' is not {KNOWN}")))?;
    Ok(start)
}

fn one_of(members: &mut Members<'_>) -> Result<ReadStart, Problem> {
    if let Some(n) = members.raw("last") {
        let n = number("last", n)?;
        if n == 0 {
            return Err(invalid("member 'last' must be 1 at least"));
        }
        return Ok(ReadStart::At(StartAt::Last(n)));
    }
    if let Some(offset) = members.raw("offset") {
        return Ok(ReadStart::At(StartAt::Offset(Offset(number("offset", offset)?))));
    }
    if let Some(time) = members.raw("time") {
        return time_of(time);
    }
    if let Some(Text(cursor)) = members.maybe("cursor")? {
        return Ok(ReadStart::Cursor(Cursor::decode(&cursor)?));
    }
    if let Some(positions) = members.maybe::<BTreeMap<String, Positions>>("positions")? {
        return cursor_of(positions).map(ReadStart::Cursor);
    }
    Err(invalid(format!("member 'from' is not {KNOWN}")))
}

/// Milliseconds as a number, or RFC 3339 as a string.
fn time_of(text: &str) -> Result<ReadStart, Problem> {
    let time = match text.starts_with('"') {
        true => parse_time(&typed::<Text<'_>>("time", text)?.0)?,
        false => parse_time(text)?,
    };
    Ok(ReadStart::At(StartAt::Time(time)))
}

fn cursor_of(positions: BTreeMap<String, Positions>) -> Result<Cursor, Problem> {
    if positions.len() > limits::MAX_READ_TOPICS {
        let max = limits::MAX_READ_TOPICS;
        return Err(invalid(format!("member 'positions' has more than {max} topics")));
    }
    let mut cursor = Cursor::default();
    for (name, positions) in positions {
        let name = TopicName::new(name).map_err(|error| Problem::topic_name(&error))?;
        let incarnation = u64::from_str_radix(&positions.incarnation, 16).map_err(|_| {
            let detail = format!("the incarnation of topic '{name}' is no hexadecimal number");
            Problem::new(ErrorCode::CursorDamaged, detail)
        })?;
        let places = positions.partitions.into_iter();
        let partitions = places.map(|(partition, (epoch, next))| {
            (PartitionId(partition), Position { epoch: Epoch(epoch), next: Offset(next) })
        });
        let incarnation = Incarnation(incarnation);
        cursor
            .topics
            .insert(name, TopicPositions { incarnation, partitions: partitions.collect() });
    }
    Ok(cursor)
}
