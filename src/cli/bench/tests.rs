//! Generator and floor against each other: a benchmark is worth what they are worth.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::api::{self, Form};
use crate::client::load::{
    Connection, LoadError, Pace, Stretch, chunk, chunked_head, drive, drive_count, pace, request,
};
use crate::http::floor::{self, FloorMode};

/// A path in a directory of the test's own, removed at its end.
pub(super) struct Scratch(pub PathBuf, #[expect(dead_code, reason = "kept for its drop")] TempDir);

impl Scratch {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self(directory.path().join("floor"), directory)
    }
}

/// Serves a floor while `work` runs against it.
pub(super) async fn with_floor<T>(
    mode: FloorMode,
    path: &Path,
    work: impl AsyncFnOnce(SocketAddr) -> T,
) -> T {
    let (tell, told) = oneshot::channel();
    let listening = move |address| tell.send(address).expect("the test waits for the address");
    tokio::select! {
        ended = floor::serve(mode, path, ([127, 0, 0, 1], 0).into(), listening) => {
            panic!("the floor ended: {ended:?}")
        }
        result = async { work(told.await.expect("an address")).await } => result,
    }
}

fn appends(address: SocketAddr) -> Vec<Bytes> {
    (0..8_u8).map(|index| api::floor_append(address, Form::Raw, &[b'a' + index; 200])).collect()
}

#[tokio::test]
async fn a_stretch_of_load_appends_every_body_once() {
    for mode in [FloorMode::Synced, FloorMode::Buffered] {
        let scratch = Scratch::new();
        let sample = with_floor(mode, &scratch.0, async |address| {
            let short = Duration::from_millis(100);
            let stretch = Stretch { connections: 8, warm_up: short, measured: short };
            drive(address, &appends(address), stretch).await.expect("no failed request")
        })
        .await;
        let written = fs::metadata(&scratch.0).expect("the floor's file").len();
        assert!(sample.requests > 0);
        assert_eq!(sample.latencies_us.len() as u64, sample.requests);
        assert_eq!(written % 200, 0);
        assert!(written >= sample.requests * 200);
    }
}

#[tokio::test]
async fn a_counted_load_sends_just_as_many() {
    let scratch = Scratch::new();
    with_floor(FloorMode::Buffered, &scratch.0, async |address| {
        drive_count(address, &appends(address), 7, 100).await.expect("no failed request");
    })
    .await;
    assert_eq!(fs::metadata(&scratch.0).expect("the floor's file").len(), 100 * 200);
}

#[tokio::test]
async fn a_steady_pace_sends_what_is_due() {
    let scratch = Scratch::new();
    let timed = with_floor(FloorMode::Buffered, &scratch.0, async |address| {
        let steady = Pace { connections: 4, rate: 200.0, length: Duration::from_millis(500) };
        pace(address, &appends(address), steady).await.expect("no failed request")
    })
    .await;
    assert_eq!(timed.len(), 100);
}

#[tokio::test]
async fn a_file_comes_back_as_it_is() {
    let scratch = Scratch::new();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&scratch.0, &content).expect("a temporary file");
    let (whole, first) = with_floor(FloorMode::File, &scratch.0, async |address| {
        let get = request(address, "GET", "/", &[], b"");
        let mut connection =
            Connection::open(address, Connection::LARGE).await.expect("a connection");
        let whole = connection.call(&get).await.expect("the file");
        // On the same connection: the first answer was read to its very end.
        let first =
            connection.exchange(&get, |_| ControlFlow::Break(())).await.expect("its beginning");
        (whole, first)
    })
    .await;
    assert_eq!(whole, content);
    assert!(first.first_byte.is_some() && !first.complete);
}

#[tokio::test]
async fn an_upload_in_chunks_arrives_whole() {
    let scratch = Scratch::new();
    let sent = Cell::new(0);
    with_floor(FloorMode::Synced, &scratch.0, async |address| {
        let blocks = [chunk(&[b'x'; 1_000]), chunk(&[b'y'; 1_000])];
        let mut connection =
            Connection::open(address, Connection::SMALL).await.expect("a connection");
        let head = chunked_head(address, "POST", "/", &[]);
        connection.upload(&head, &blocks, 100_000, &sent).await.expect("an answer");
    })
    .await;
    let chunks = sent.get() / chunk(&[b'x'; 1_000]).len() as u64;
    assert_eq!(fs::metadata(&scratch.0).expect("the floor's file").len(), chunks * 1_000);
}

#[tokio::test]
async fn an_upload_that_is_refused_early_says_why() {
    let scratch = Scratch::new();
    let sent = Cell::new(0);
    let error = with_floor(FloorMode::Buffered, &scratch.0, async |address| {
        let mut connection =
            Connection::open(address, Connection::SMALL).await.expect("a connection");
        let head = chunked_head(address, "POST", "/nowhere", &[]);
        connection
            .upload(&head, &[chunk(&[b'x'; 60_000])], u64::MAX, &sent)
            .await
            .expect_err("a refusal")
    })
    .await;
    assert!(matches!(error, LoadError::Status { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_success_fails_the_stretch() {
    let scratch = Scratch::new();
    let error = with_floor(FloorMode::File, &scratch.0, async |address| {
        let requests = [request(address, "GET", "/", &[], b"")];
        drive_count(address, &requests, 2, 10).await.expect_err("a refusal")
    })
    .await;
    assert!(matches!(error, LoadError::Status { status: 404, .. }), "{error}");
}

#[test]
fn lengths_and_amounts_are_checked_numbers() {
    for bad in ["-1", "NaN", "inf", "1e7", "", "x"] {
        assert!(super::positive(bad).is_err(), "{bad}");
        assert!(super::not_negative(bad).is_err(), "{bad}");
    }
    assert!(super::positive("0").is_err());
    assert_eq!(super::not_negative("0"), Ok(0.0));
    assert_eq!(super::positive("0.5"), Ok(0.5));
}
