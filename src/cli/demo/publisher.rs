//! Publishes the recorded week by its own clock, made faster.

use super::CliError;
use super::events::{Event, Week};
use super::screen::Screen;
use crate::client::{Client, PublishOptions};
use crate::domain::TopicName;
use crate::wire::TopicBody;
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The topic that the week is published to.
pub const TOPIC: &str = "earthquakes";
const PARTITIONS: u32 = 4;
/// Events are published together when they are due within this.
const TICK: Duration = Duration::from_millis(100);
/// Events in one request.
const MOST: usize = 200;

/// How many times faster than time; zero is as fast as it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

impl Speed {
    /// Reads a speed from the command line.
    pub fn parse(text: &str) -> Result<Speed, String> {
        let speed: f64 = text.parse().map_err(|_| "write a number such as 3600")?;
        let fits = speed.is_finite() && (speed == 0.0 || speed >= 1e-3);
        fits.then_some(Speed(speed)).ok_or_else(|| "write 0, or 0.001 and more".to_owned())
    }

    /// The recorded time, `elapsed` after `begin`.
    fn recorded_time(self, begin: i64, elapsed: Duration) -> i64 {
        if self.0 == 0.0 {
            return i64::MAX;
        }
        begin.saturating_add((elapsed.as_secs_f64() * 1_000.0 * self.0) as i64)
    }

    /// How long after `begin` the recorded time `time` is reached.
    fn wait_for(self, begin: i64, time: i64) -> Duration {
        if self.0 == 0.0 {
            return Duration::ZERO;
        }
        let millis = time.saturating_sub(begin).max(0) as f64 / self.0;
        Duration::try_from_secs_f64(millis / 1_000.0).unwrap_or(Duration::MAX)
    }
}

/// What there was to do, and what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Events that an earlier run had published.
    pub before: usize,
    /// Events that this run published.
    pub now: usize,
}

#[derive(Serialize)]
struct Body<'a> {
    records: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    key: &'a str,
    timestamp: i64,
    value: &'a RawValue,
}

/// Makes the topic and publishes what of the week is not in it yet: the topic
/// holds the week's events in their order, so its tails say how many.
pub async fn publish(
    client: &Client,
    week: &Week,
    speed: Speed,
    screen: &Screen,
) -> Result<Published, CliError> {
    let topic = TopicName::new(TOPIC).map_err(|error| CliError::Usage(error.to_string()))?;
    let settings = TopicBody { partitions: Some(PARTITIONS), ..TopicBody::default() };
    client.put_topic(&topic, &settings).await?;
    let there: u64 = client.topic(&topic).await?.partition_list.iter().map(|p| p.tail).sum();
    let events = week.events();
    let before = usize::try_from(there).unwrap_or(usize::MAX).min(events.len());
    screen.begin(before)?;

    let begin = week.time_of(before);
    let begun = Instant::now();
    let mut next = before;
    while next < events.len() {
        let due = week.happened_by(speed.recorded_time(begin, begun.elapsed()));
        if due <= next {
            let at = begun + speed.wait_for(begin, events[next].time).max(begun.elapsed());
            sleep((at - Instant::now()).max(TICK)).await;
            continue;
        }
        let end = due.min(next + MOST);
        let options = PublishOptions {
            // A repeat after an answer that was lost does nothing.
            idempotency_key: Some(format!("{TOPIC}-{next}-{end}")),
            ..PublishOptions::default()
        };
        client.publish(&topic, body(&events[next..end])?, &options).await?;
        next = end;
        screen.moved(next, week.time_of(next - 1))?;
    }
    Ok(Published { before, now: next - before })
}

fn body(events: &[Event]) -> Result<Vec<u8>, CliError> {
    let record = |event: &Event| {
        let value: &'static RawValue = serde_json::from_str(event.json)?;
        Ok(Record { key: event.network, timestamp: event.time, value })
    };
    let records: serde_json::Result<Vec<_>> = events.iter().map(record).collect();
    let body = records.and_then(|records| serde_json::to_vec(&Body { records }));
    body.map_err(|error| CliError::io("writing JSON")(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_passes_in_a_second_at_3600() {
        let speed = Speed::parse("3600").unwrap();
        assert_eq!(speed.recorded_time(1_000, Duration::from_secs(2)), 7_201_000);
        assert_eq!(speed.wait_for(1_000, 7_201_000), Duration::from_secs(2));
        assert_eq!(speed.wait_for(1_000, 0), Duration::ZERO);
    }

    #[test]
    fn at_zero_everything_has_happened() {
        let speed = Speed::parse("0").unwrap();
        assert_eq!(speed.recorded_time(5, Duration::ZERO), i64::MAX);
        assert_eq!(speed.wait_for(5, 10), Duration::ZERO);
        for bad in ["-1", "NaN", "inf", "fast", "0.0000001"] {
            assert!(Speed::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn events_become_records_with_key_and_time() {
        let week = Week::recorded().unwrap();
        let body: serde_json::Value =
            serde_json::from_slice(&body(&week.events()[..2]).unwrap()).unwrap();
        assert_eq!(body["records"][0]["key"], "uw");
        assert_eq!(body["records"][0]["timestamp"], 1_517_363_399_650_i64);
        assert_eq!(body["records"][1]["value"]["net"], "mb");
    }
}
