//! Numbers in records, by which a record that arrives is known for the one that was sent, and how long each took.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::error::BenchError;
use crate::client::load::quantile;

/// What stands before the number in a record's value.
const MARK: &[u8] = br#""seq":""#;
/// Digits of a number.
const DIGITS: usize = 10;

/// `value`, a JSON object of at least 30 bytes, of the same length but with room for a number.
#[must_use]
pub fn stamped_value(value: &str) -> String {
    let stamp = format!(r#"{{"seq":"{:0DIGITS$}","note":""#, 0);
    let rest: String = value.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let rest: String = rest.chars().cycle().take(value.len() - stamp.len() - 2).collect();
    format!("{stamp}{rest}\"}}")
}

/// A request with a number in it.
#[derive(Debug, Clone)]
pub struct Stamped {
    request: Vec<u8>,
    at: usize,
}

impl Stamped {
    /// A request that holds a stamped value.
    ///
    /// # Errors
    /// When it does not.
    pub fn new(request: &[u8]) -> Result<Self, BenchError> {
        let at = memchr::memmem::find(request, MARK).map(|at| at + MARK.len());
        let at = at.filter(|at| at + DIGITS <= request.len());
        let at = at.ok_or_else(|| BenchError::Answer {
            what: "looking for the number in a record".to_owned(),
            answer: String::from_utf8_lossy(request).into_owned(),
        })?;
        Ok(Self { request: request.to_vec(), at })
    }

    /// The request with this number.
    #[must_use]
    pub fn with(&self, number: u64) -> Bytes {
        let mut request = self.request.clone();
        request[self.at..self.at + DIGITS].copy_from_slice(format!("{number:0DIGITS$}").as_bytes());
        Bytes::from(request)
    }
}

/// When records were sent, and how long each took to each socket.
#[derive(Debug, Default)]
pub struct Timings {
    sent: RefCell<Vec<Option<Instant>>>,
    taken_us: RefCell<Vec<u32>>,
    arrivals: Cell<u64>,
    /// Those sent before it are not counted.
    from: Cell<Option<Instant>>,
}

impl Timings {
    /// None yet; those sent before `from` are not to be counted.
    #[must_use]
    pub fn from(from: Instant) -> Self {
        Self { from: Cell::new(Some(from)), ..Self::default() }
    }

    /// The record of this number is sent; its time counts from `from`.
    pub fn sent(&self, number: u64, from: Instant) {
        let (mut sent, number) = (self.sent.borrow_mut(), number as usize);
        if sent.len() <= number {
            sent.resize(number + 1, None);
        }
        sent[number] = Some(from);
    }

    /// Takes note of all numbers in a frame that has just come.
    pub fn heard(&self, frame: &[u8]) {
        let (now, sent, from) = (Instant::now(), self.sent.borrow(), self.from.get());
        let mut taken = self.taken_us.borrow_mut();
        for at in memchr::memmem::find_iter(frame, MARK) {
            let Some(begin) = number_at(frame, at + MARK.len())
                .and_then(|number| sent.get(number as usize).copied().flatten())
            else {
                continue;
            };
            self.arrivals.set(self.arrivals.get() + 1);
            if from.is_none_or(|from| begin >= from) {
                taken.push(u32::try_from((now - begin).as_micros()).unwrap_or(u32::MAX));
            }
        }
    }

    /// Arrivals of all numbers, also those that are not counted.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.arrivals.get()
    }

    /// The times taken, in ms: the median and the 99th of a hundred.
    #[must_use]
    pub fn quantiles_ms(&self) -> Quantiles {
        let mut taken = self.taken_us.borrow_mut();
        taken.sort_unstable();
        let at = |of| quantile(&taken, of).map_or(f64::NAN, |us| f64::from(us) / 1e3);
        Quantiles { p50: at(0.5), p99: at(0.99), most: at(1.0) }
    }
}

/// How long records took, in ms.
#[derive(Debug, Clone, Copy)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 99th of a hundred.
    pub p99: f64,
    /// The slowest.
    pub most: f64,
}

fn number_at(frame: &[u8], at: usize) -> Option<u64> {
    std::str::from_utf8(frame.get(at..at + DIGITS)?).ok()?.parse().ok()
}

/// A moment after now, for what is to be counted from then on.
#[must_use]
pub fn after(warm_up: Duration) -> Instant {
    Instant::now() + warm_up
}

#[cfg(test)]
mod tests {
    use super::super::super::data;
    use super::*;

    #[test]
    fn a_number_goes_into_a_request_and_is_found_in_what_comes() {
        let value = stamped_value(&data::order(&mut data::seeded(), 200));
        assert_eq!(value.len(), 200);
        serde_json::from_str::<serde_json::Value>(&value).expect("JSON");
        let stamped = Stamped::new(value.as_bytes()).expect("a place for the number");
        let begin = Instant::now();
        let timings = Timings::from(begin);
        timings.sent(3, begin);
        timings.sent(4, begin - Duration::from_millis(1));
        timings.heard(&[stamped.with(3), stamped.with(4), stamped.with(9)].concat());
        assert_eq!((timings.arrivals(), timings.taken_us.borrow().len()), (2, 1));
        assert!(Stamped::new(b"{}").is_err());
    }
}
