//! The recorded week: every event with its key, its time and its JSON as it
//! stands in the file.

use super::CliError;
use serde::Deserialize;

const RECORDED: &str = include_str!("../../../static/demo/earthquakes.ndjson");

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The reporting network, which is the record's key.
    pub network: &'static str,
    /// When it happened, milliseconds since 1970.
    pub time: i64,
    /// The whole event as JSON.
    pub json: &'static str,
}

/// Events in order of time; never empty.
#[derive(Clone, Debug)]
pub struct Week(Vec<Event>);

#[derive(Deserialize)]
struct Fields {
    net: &'static str,
    time: i64,
}

impl Week {
    /// The week that the binary carries.
    pub fn recorded() -> Result<Week, CliError> {
        let event = |json: &'static str| {
            let Fields { net, time } = serde_json::from_str(json)?;
            Ok(Event { network: net, time, json })
        };
        let events: serde_json::Result<Vec<_>> = RECORDED.lines().map(event).collect();
        let events =
            events.map_err(|error| CliError::io("reading the recorded week")(error.into()))?;
        Ok(Week(events))
    }

    /// All events.
    pub fn events(&self) -> &[Event] {
        &self.0
    }

    /// How many of the events have happened by `time`.
    pub fn happened_by(&self, time: i64) -> usize {
        self.0.partition_point(|event| event.time <= time)
    }

    /// The time of the event at `index`, or of the last one.
    pub fn time_of(&self, index: usize) -> i64 {
        self.0.get(index).or(self.0.last()).map_or(0, |event| event.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_is_whole_and_in_order_of_time() {
        let week = Week::recorded().unwrap();
        assert_eq!(week.events().len(), 1_707);
        assert!(week.events().is_sorted_by_key(|event| event.time));
        assert!(week.events().iter().all(|event| !event.network.is_empty()));
    }

    #[test]
    fn what_has_happened_counts_the_moment_itself() {
        let week = Week::recorded().unwrap();
        assert_eq!(week.happened_by(week.time_of(0) - 1), 0);
        assert_eq!(week.happened_by(week.time_of(0)), 1);
        assert_eq!(week.happened_by(i64::MAX), 1_707);
    }
}
