//! Admission: bytes and requests are taken before any queue and given back by
//! a guard's drop, so that what clients send at once stays within memory.

use super::Overload;
use crate::runtime::Metrics;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Bytes and requests under way, and how many there may be.
#[derive(Clone)]
pub(super) struct Admission(Arc<Inner>);

struct Inner {
    bytes: Pool,
    requests: Pool,
}

struct Pool {
    taken: AtomicUsize,
    max: usize,
}

impl Pool {
    fn new(max: usize) -> Pool {
        Pool { taken: AtomicUsize::new(0), max }
    }

    fn take(&self, n: usize) -> bool {
        // The counters guard no other memory, so no order is needed.
        let fits = |taken: usize| taken.checked_add(n).filter(|sum| *sum <= self.max);
        self.taken.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    fn give_back(&self, n: usize) {
        self.taken.fetch_sub(n, Relaxed);
    }
}

/// A place among the publishes under way. Dropping it gives all back.
pub struct Permit {
    from: Admission,
    bytes: usize,
}

impl Admission {
    pub(super) fn new(bytes: usize, requests: usize, metrics: &Metrics) -> Admission {
        let inner = Arc::new(Inner { bytes: Pool::new(bytes), requests: Pool::new(requests) });
        let gauge = |name, help| metrics.gauge(name, help, &[]);
        let bytes = gauge("tidegate_inflight_bytes", "Bytes of request bodies in memory.");
        let requests = gauge("tidegate_inflight_publishes", "Publishes under way.");
        let seen = Arc::clone(&inner);
        metrics.before_render(move || {
            bytes.set(seen.bytes.taken.load(Relaxed) as i64);
            requests.set(seen.requests.taken.load(Relaxed) as i64);
        });
        Admission(inner)
    }

    pub(super) fn admit(&self, bytes: usize) -> Result<Permit, Overload> {
        if !self.0.requests.take(1) {
            return Err(Overload::Requests);
        }
        // From here on the drop of the permit gives the request back.
        let mut permit = Permit { from: self.clone(), bytes: 0 };
        permit.grow(bytes)?;
        Ok(permit)
    }
}

impl Permit {
    /// Takes `more` bytes. What was taken before stays taken on an error.
    pub fn grow(&mut self, more: usize) -> Result<(), Overload> {
        if !self.from.0.bytes.take(more) {
            return Err(Overload::Bytes);
        }
        self.bytes += more;
        Ok(())
    }

    /// Makes the permit one of `bytes`: takes what is missing, gives back what
    /// is too much.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Overload> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.from.0.bytes.give_back(self.bytes - bytes);
        self.bytes = bytes;
        Ok(())
    }

    /// The bytes taken.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.from.0.bytes.give_back(self.bytes);
        self.from.0.requests.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission::new(100, 2, &Metrics::default())
    }

    #[test]
    fn what_is_taken_comes_back_with_the_permit() {
        let admission = admission();
        let mut first = admission.admit(60).unwrap();
        assert_eq!(admission.admit(41).err(), Some(Overload::Bytes));
        let second = admission.admit(40).unwrap();
        assert_eq!(admission.admit(0).err(), Some(Overload::Requests));
        assert_eq!(first.grow(1), Err(Overload::Bytes));
        drop(second);
        first.resize(100).unwrap();
        first.resize(10).unwrap();
        assert!(admission.admit(90).is_ok());
    }

    #[test]
    fn a_refusal_leaves_nothing_taken() {
        let admission = admission();
        assert!(admission.admit(101).is_err());
        assert!(admission.admit(usize::MAX).is_err());
        assert!(admission.admit(100).is_ok());
    }
}
