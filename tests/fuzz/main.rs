//! Frames that no client would send: the examples of the AsyncAPI document,
//! changed at random, parsed and served. None may panic, take long, or leave
//! the session in a state in which it sends what is no frame.
//!
//! A loop of our own and not cargo-fuzz, which needs a nightly compiler for
//! its coverage. Instead of coverage an input is kept to be changed further
//! when its outcome (the code and the words of the refusal) was not seen
//! before. `FUZZ_SECONDS` says how long; `FUZZ_SEED` begins at another place.
//! An input that fails is printed, and belongs into `wire/frames/tests.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod mutate;

use bytes::Bytes;
use mutate::Mutator;
use serde_json::Value;
use std::{
    collections::{HashSet, VecDeque},
    env,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use tidegate::{
    broker::Broker,
    domain::{Limits, PartitionCount, Timestamp, TopicConfig, TopicName},
    engine::{NoGroups, memory::MemoryEngine},
    runtime::Metrics,
    session::{Frame, FrameKind, Host, Outbox, Session, SessionConfig},
    wire::{ClientFrame, for_each_of, parse_frame},
};

const DOCUMENT: &str = include_str!("../../openapi/tidegate.v1.asyncapi.yaml");
/// What one frame may take; they are small.
const SLOW: Duration = Duration::from_secs(1);
/// Inputs that are kept at most, beyond those of the document.
const KEPT: usize = 4_096;

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Every example of a client's frame in the document.
fn corpus() -> Vec<Vec<u8>> {
    let document: Value = serde_yaml_ng::from_str(DOCUMENT).unwrap();
    let messages = document["components"]["messages"].as_object().unwrap().values();
    let examples = messages.flat_map(|message| message["examples"].as_array().unwrap());
    let payloads = examples.map(|example| &example["payload"]).filter(|p| p.is_object());
    payloads.map(|payload| payload.to_string().into_bytes()).collect()
}

/// Parses a frame to its end; answers what came of it, for the choice of what
/// to keep.
fn parsed(frame: &[u8]) -> String {
    match parse_frame(frame) {
        Ok(ClientFrame::Publish(publish)) => {
            let counted = for_each_of(publish.records.as_bytes(), |_, _| Ok(()));
            format!("publish {:?}", counted.map_err(|problem| problem.code))
        }
        Ok(ClientFrame::Subscribe(subscribe)) => {
            format!("subscribe {:?}", std::mem::discriminant(&subscribe.start))
        }
        Ok(frame) => format!("{:?}", std::mem::discriminant(&frame)),
        Err(fault) => {
            // What is quoted, and numbers, differ with every input.
            let words = fault.problem.detail.split(['\'', '"', '`']).step_by(2);
            let words = words.flat_map(str::chars).filter(|c| c.is_alphabetic());
            format!("{} {}", fault.problem.code, words.collect::<String>())
        }
    }
}

/// Takes what a session sends, which must be frames.
#[derive(Default)]
struct Checked(usize);

impl Outbox for Checked {
    fn push(&mut self, frame: Frame<'_>) {
        self.0 += 1;
        if frame.kind == FrameKind::Text {
            let text = [frame.head, &frame.body].concat();
            let value: Value = serde_json::from_slice(&text).unwrap_or_else(|error| {
                panic!("no frame was sent: {error}: {}", String::from_utf8_lossy(&text))
            });
            assert!(value["op"].is_string(), "{value}");
        }
    }

    fn is_full(&self) -> bool {
        false
    }
}

/// A gateway with one topic.
async fn host() -> Arc<Host> {
    let metrics = Metrics::default();
    let engine = MemoryEngine::new(Arc::new(|| Timestamp::from_millis(1)));
    let broker = Broker::new(Arc::new(engine), Arc::new(NoGroups), Limits::default(), &metrics);
    let config = TopicConfig { partitions: PartitionCount(2), ..TopicConfig::default() };
    broker.ensure_topic(&TopicName::new("orders").unwrap(), &config).await.unwrap();
    Host::new(broker, SessionConfig::default(), &metrics)
}

/// Has a session of its own serve some frames, one after the other.
async fn served(host: &Arc<Host>, frames: &VecDeque<Vec<u8>>) {
    let mut session = Session::new(host, "fuzz");
    let mut out = Checked::default();
    for frame in frames {
        if !session.takes() {
            break;
        }
        session.take(Bytes::copy_from_slice(frame));
        for _ in 0..4 {
            poll_fn(|cx| {
                while session.poll_send(cx, &mut out).is_ready() {}
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
    }
    assert!(out.0 > 0);
}

#[tokio::test]
async fn no_frame_breaks_the_parser_or_a_session() {
    let until = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS", 2));
    let mut corpus = corpus();
    let documented = corpus.len();
    let mut mutator = Mutator::new(number("FUZZ_SEED", 7));
    let (mut seen, mut tried, mut recent) = (HashSet::new(), 0u64, VecDeque::new());
    let host = host().await;
    while Instant::now() < until {
        let frame = mutator.next(&corpus);
        let shown = || String::from_utf8_lossy(&frame).into_owned();
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| parsed(&frame)));
        let outcome = outcome.unwrap_or_else(|_| panic!("the parser panicked at: {}", shown()));
        assert!(begun.elapsed() < SLOW, "{:?} for: {}", begun.elapsed(), shown());
        if seen.insert(outcome) && corpus.len() < documented + KEPT {
            corpus.push(frame.clone());
        }
        tried += 1;
        recent.push_back(frame);
        if recent.len() == 16 {
            let served = tokio::time::timeout(SLOW * 10, served(&host, &recent)).await;
            assert!(served.is_ok(), "a session hung at one of: {recent:?}");
            recent.clear();
        }
    }
    println!("{tried} frames, {} outcomes", seen.len());
    assert!(tried > 1_000 && seen.len() > 20, "{tried} frames, {} outcomes", seen.len());
}
