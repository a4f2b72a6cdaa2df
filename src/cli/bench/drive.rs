//! `bench drive`: the generator alone, at a server that stands already, whichever it is: so that others can be measured
//! with the same load.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::error::BenchError;
use super::{Options, positive};
use crate::client::load::{Pace, Sample, Stretch, drive, pace, request};

/// What is sent where.
#[derive(Debug, Args)]
pub struct DriveArgs {
    /// Where the server listens.
    #[arg(long, value_name = "ADDR:PORT")]
    to: SocketAddr,
    /// The path that is posted to.
    #[arg(long)]
    path: String,
    /// A file of bodies, one per line; they are sent in turn.
    #[arg(long, value_name = "FILE")]
    bodies: PathBuf,
    /// What the bodies are.
    #[arg(long, default_value = "application/json")]
    content_type: String,
    /// Connections that are kept open, each with one request under way.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests per second over all connections; without it, as many as are answered.
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
}

/// Sends requests for `--seconds` and answers with the rate and the latencies, as JSON.
///
/// # Errors
/// When the file cannot be read, or a request is not answered with a success.
pub async fn run(args: &DriveArgs, options: &Options) -> Result<serde_json::Value, BenchError> {
    let text = std::fs::read_to_string(&args.bodies)
        .map_err(BenchError::io(format!("reading {}", args.bodies.display())))?;
    let headers = [("content-type", args.content_type.as_str())];
    let with = |body: &str| request(args.to, "POST", &args.path, &headers, body.as_bytes());
    let requests: Vec<Bytes> = text.lines().map(with).collect();
    if requests.is_empty() {
        return Err(BenchError::Answer {
            what: format!("reading {}", args.bodies.display()),
            answer: "no bodies".to_owned(),
        });
    }
    let sample = match args.rate {
        None => saturate(args, options, &requests).await?,
        Some(rate) => steady(args, options, &requests, rate).await?,
    };
    Ok(json!({
        "requests": sample.requests,
        "requests_per_second": sample.rate(),
        "p50_ms": sample.quantile_ms(0.5),
        "p99_ms": sample.quantile_ms(0.99),
    }))
}

async fn saturate(
    args: &DriveArgs,
    options: &Options,
    requests: &[Bytes],
) -> Result<Sample, BenchError> {
    let stretch = Stretch {
        connections: args.connections.max(1),
        warm_up: Duration::from_secs_f64(options.warm_up),
        measured: Duration::from_secs_f64(options.seconds),
    };
    drive(args.to, requests, stretch).await.map_err(BenchError::load("a stretch of load"))
}

async fn steady(
    args: &DriveArgs,
    options: &Options,
    requests: &[Bytes],
    rate: f64,
) -> Result<Sample, BenchError> {
    let length = |seconds| Pace {
        connections: args.connections.max(1),
        rate,
        length: Duration::from_secs_f64(seconds),
    };
    if options.warm_up > 0.0 {
        let warm_up = pace(args.to, requests, length(options.warm_up)).await;
        warm_up.map_err(BenchError::load("a warm-up"))?;
    }
    let begun = Instant::now();
    let timed = pace(args.to, requests, length(options.seconds)).await;
    let timed = timed.map_err(BenchError::load("a steady load"))?;
    let mut latencies_us: Vec<u32> = timed
        .iter()
        .map(|timed| u32::try_from(timed.latency.as_micros()).unwrap_or(u32::MAX))
        .collect();
    latencies_us.sort_unstable();
    Ok(Sample { requests: latencies_us.len() as u64, elapsed: begun.elapsed(), latencies_us })
}
