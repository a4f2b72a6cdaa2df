//! Metric handles: rooms count through these, and the library behind them
//! stays in this room. A handle is an atomic or two; clones share it.

use parking_lot::Mutex;
use prometheus::{
    Encoder, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};
use std::{sync::Arc, time::Duration};

/// Buckets for times, in seconds: a quarter of a millisecond to ten seconds.
pub const SECONDS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Buckets for sizes, in bytes: 256 B to 16 MiB.
pub const BYTES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];
/// Buckets for numbers of things, 1 to 10,000.
pub const COUNTS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0];

/// Counts what only grows.
#[derive(Clone, Debug)]
pub struct Counter(IntCounter);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.inc_by(n);
    }

    /// What was counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Shows what grows and shrinks.
#[derive(Clone, Debug)]
pub struct Gauge(IntGauge);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.add(n);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.get()
    }
}

/// Shows how something is spread over buckets.
#[derive(Clone, Debug)]
pub struct Histogram(prometheus::Histogram);

impl Histogram {
    /// Takes note of a value.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }

    /// Takes note of a time, in seconds.
    pub fn observe_time(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

/// Counters that differ in labels known only at run time. The caller bounds
/// the values.
#[derive(Clone, Debug)]
pub struct CounterFamily(IntCounterVec);

impl CounterFamily {
    /// The counter of these label values, in the order of the label names.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Counter {
        Counter(self.0.with_label_values(values))
    }
}

/// Gauges that differ in labels known only at run time. The caller bounds the
/// values.
#[derive(Clone, Debug)]
pub struct GaugeFamily(IntGaugeVec);

impl GaugeFamily {
    /// Shows these, by their label values in the order of the label names, and
    /// no others any more.
    pub fn show<'a, const N: usize>(&self, values: impl IntoIterator<Item = ([&'a str; N], i64)>) {
        self.0.reset();
        for (labels, value) in values {
            self.0.with_label_values(&labels).set(value);
        }
    }
}

type Hook = Box<dyn Fn() + Send + Sync>;

/// Every metric of one gateway; clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Registry,
    hooks: Arc<Mutex<Vec<Hook>>>,
}

fn opts(name: &str, help: &str, labels: &[(&str, &str)]) -> Opts {
    labels.iter().fold(Opts::new(name, help), |o, (k, v)| o.const_label(*k, *v))
}

/// A collector of a name that the program itself chose.
#[expect(clippy::expect_used, reason = "names and labels are literals of the program")]
fn made<T>(collector: prometheus::Result<T>) -> T {
    collector.expect("the metric has a valid name")
}

impl Metrics {
    /// A counter; `labels` are fixed.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Counter {
        Counter(self.registered(made(IntCounter::with_opts(opts(name, help, labels)))))
    }

    /// Counters by labels whose values are known only later.
    #[must_use]
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> CounterFamily {
        CounterFamily(self.registered(made(IntCounterVec::new(Opts::new(name, help), labels))))
    }

    /// A gauge; `labels` are fixed.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Gauge {
        Gauge(self.registered(made(IntGauge::with_opts(opts(name, help, labels)))))
    }

    /// Gauges by labels whose values are known only later.
    #[must_use]
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeFamily {
        GaugeFamily(self.registered(made(IntGaugeVec::new(Opts::new(name, help), labels))))
    }

    /// A histogram over `buckets`; `labels` are fixed.
    #[must_use]
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        buckets: &[f64],
    ) -> Histogram {
        let common_opts = opts(name, help, labels);
        let opts = HistogramOpts { common_opts, buckets: buckets.to_vec() };
        Histogram(self.registered(made(prometheus::Histogram::with_opts(opts))))
    }

    /// Runs `hook` before each [`Metrics::render`], to bring gauges up to date
    /// that nobody moves otherwise.
    pub fn before_render(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.hooks.lock().push(Box::new(hook));
    }

    /// Shows how much memory the process holds, where the system tells.
    pub fn show_memory(&self) {
        let help = "Resident memory of the process, bytes.";
        let gauge = self.gauge("process_resident_memory_bytes", help, &[]);
        self.before_render(move || gauge.set(resident_bytes().unwrap_or(0)));
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        for hook in &*self.hooks.lock() {
            hook();
        }
        let mut text = vec![];
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }

    fn registered<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        // A name given twice is a slip that costs that metric alone.
        if let Err(error) = self.registry.register(Box::new(collector.clone())) {
            tracing::error!(%error, "a metric was not registered");
            debug_assert!(false, "a metric was not registered: {error}");
        }
        collector
    }
}

/// From Linux' own account of the process.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered_with_its_labels() {
        let metrics = Metrics::default();
        let synced =
            metrics.counter("t_published_total", "Published.", &[("durability", "synced")]);
        let buffered =
            metrics.counter("t_published_total", "Published.", &[("durability", "buffered")]);
        synced.add(3);
        buffered.inc();
        metrics.histogram("t_seconds", "Times.", &[], SECONDS).observe(0.002);
        let queue = metrics.gauge("t_queue", "Waiting.", &[]);
        metrics.before_render(move || queue.set(7));
        let lags = metrics.gauges("t_lag", "Behind.", &["group"]);
        lags.show([(["gone"], 1)]);
        lags.show([(["billing"], 5)]);
        let text = metrics.render();
        for line in [
            "t_published_total{durability=\"synced\"} 3",
            "t_published_total{durability=\"buffered\"} 1",
            "t_seconds_bucket{le=\"0.0025\"} 1",
            "t_queue 7",
            "t_lag{group=\"billing\"} 5",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("gone"), "{text}");
    }
}
