//! What the demonstration shows: addresses to open, lines to try, and how far
//! the week has come.

use super::events::Week;
use super::publisher::{Published, TOPIC};
use super::store::Store;
use super::{CliError, output};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// How often a pipe is told of the progress.
const TELL: Duration = Duration::from_secs(10);
const BAR: &str = "{msg:>17} UTC {wide_bar} {human_pos}/{human_len} events  {eta} left";

/// Where progress goes: a bar on a terminal, lines now and then elsewhere.
pub struct Screen {
    bar: Option<ProgressBar>,
    events: usize,
    told: Cell<Instant>,
}

/// Tells where to look, and what to try.
pub fn welcome(base: &str, store: &Store) -> Result<(), CliError> {
    let records = format!("{base}/v1/topics/{TOPIC}/records");
    output::line(&format!(
        "\
Watch it live:  {base}/

A gateway is listening on {base}, with {store}.
A recorded week of earthquakes is being published to the topic `{TOPIC}`.

Open:
  {base}/                          the earthquakes on a map, as they are published
  {base}/docs                      where to begin
  {base}/docs/api                  every call, to try out
  {base}/v1/topics/{TOPIC}     the topic as it fills
  {base}/readyz                    whether the gateway is ready
  {base}/metrics                   rates, latencies, sizes

Try:
  curl -s '{records}?from=last:1'
  curl -s '{records}?from=time:2018-01-31T12:00:00Z&limit=2'
  curl -sN -H 'accept: application/x-ndjson' '{records}?from=latest&follow=true'
  curl -s -X PUT {base}/v1/topics/notes
  curl -s -H 'content-type: text/plain' -d 'hello' '{base}/v1/topics/notes/records?key=me'
  curl -s '{base}/v1/topics/notes/records'
"
    ))
}

impl Screen {
    /// A screen for publishing `week`.
    pub fn new(week: &Week) -> Screen {
        let events = week.events().len();
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(events as u64);
            let style = ProgressStyle::with_template(BAR);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Screen { bar, events, told: Cell::new(Instant::now()) }
    }

    /// Publishing begins after `before` events that are there already.
    pub fn begin(&self, before: usize) -> Result<(), CliError> {
        if let Some(bar) = &self.bar {
            bar.set_position(before as u64);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        if before == 0 {
            return Ok(());
        }
        let (before, events) = (count(before), count(self.events));
        self.line(&format!("{before} of {events} events are there from an earlier run"))
    }

    /// `published` events are there now; the last happened at `time`.
    pub fn moved(&self, published: usize, time: i64) -> Result<(), CliError> {
        let time = minute(time);
        if let Some(bar) = &self.bar {
            bar.set_message(time);
            bar.set_position(published as u64);
            return Ok(());
        }
        if self.told.get().elapsed() < TELL {
            return Ok(());
        }
        self.told.set(Instant::now());
        self.line(&format!("{time} UTC: {} of {} events", count(published), count(self.events)))
    }

    /// The week is over.
    pub fn done(&self, published: Published, once: bool) -> Result<(), CliError> {
        self.interrupted();
        let Published { before, now } = published;
        let there =
            if before > 0 { format!(", {} were there", count(before)) } else { String::new() };
        let on = if once { "" } else { " The gateway serves on until Ctrl-C." };
        self.line(&format!("The week is over: {} events published{there}.{on}", count(now)))
    }

    /// Takes the bar away.
    pub fn interrupted(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) -> Result<(), CliError> {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::line(text)),
            None => output::line(text),
        }
    }
}

fn count(n: usize) -> String {
    HumanCount(n as u64).to_string()
}

fn minute(millis: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulated_time_is_shown_by_the_minute() {
        assert_eq!(minute(1_517_363_399_650), "2018-01-31 01:49");
        assert_eq!(minute(i64::MAX), "1970-01-01 00:00");
    }
}
