//! The generator's sockets and the floor's against each other: a benchmark is worth what they are worth.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::BufWriter;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::tests::{Scratch, with_floor};
use super::wire::{PATH, PROTOCOL};
use crate::client::load::{Connection, Fleet, drive_count, request};
use crate::http::floor::{FloorMode, write_frame};

async fn fleet(address: SocketAddr, count: usize) -> Fleet {
    Fleet::open(address, PATH, PROTOCOL, usize::MAX, count).await.expect("open sockets")
}

/// Waits until `done`, which another future of this thread brings about.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn every_socket_hears_every_body_that_is_appended() {
    for mode in [FloorMode::BufferedSockets, FloorMode::SyncedSockets] {
        let scratch = Scratch::new();
        let heard = Cell::new(0);
        with_floor(mode, &scratch.0, async |address| {
            let bodies = [&[b'a'; 200][..], &[b'b'; 70_000]];
            let requests = bodies.map(|body| request(address, "POST", "/", &[], body));
            let mut fleet = fleet(address, 100).await;
            let sink = |_: usize, frame: crate::client::load::Frame<'_>| {
                assert!(bodies.contains(&frame.head));
                heard.set(heard.get() + 1);
                Ok(())
            };
            let work = async {
                drive_count(address, &requests, 4, 20).await.expect("no failed request");
                until(|| heard.get() == 2_000).await;
            };
            fleet.attend(sink, work).await.expect("no failed socket");
        })
        .await;
        let written = fs::metadata(&scratch.0).expect("the floor's file").len();
        assert_eq!(written, 10 * (200 + 70_000));
    }
}

#[tokio::test]
async fn who_asks_gets_all_frames_of_the_file_in_order() {
    let scratch = Scratch::new();
    let frames: Vec<Vec<u8>> = (1..300_usize).map(|length| vec![b'x'; length * 7]).collect();
    let mut file = BufWriter::new(File::create(&scratch.0).expect("a temporary file"));
    frames.iter().for_each(|frame| write_frame(&mut file, frame).expect("a write"));
    drop(file);
    let heard = RefCell::new(Vec::new());
    with_floor(FloorMode::Frames, &scratch.0, async |address| {
        let mut fleet = fleet(address, 1).await;
        fleet.send(|_| "please".to_owned()).await.expect("a message");
        let sink = |_: usize, frame: crate::client::load::Frame<'_>| {
            heard.borrow_mut().push(frame.head.to_vec());
            Ok(())
        };
        let all = || heard.borrow().len() == frames.len();
        fleet.attend(sink, until(all)).await.expect("no failed socket");
    })
    .await;
    assert!(heard.into_inner() == frames);
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused() {
    let scratch = Scratch::new();
    with_floor(FloorMode::BufferedSockets, &scratch.0, async |address| {
        let mut connection =
            Connection::open(address, Connection::SMALL).await.expect("a connection");
        let get = request(address, "GET", PATH, &[], b"");
        connection.hit(&get).await.expect_err("a refusal");
        Fleet::open(address, "/elsewhere", PROTOCOL, 0, 1).await.expect_err("no such address");
    })
    .await;
}

#[test]
fn counts_are_whole_numbers() {
    assert_eq!(super::count("8000"), Ok(8_000));
    for bad in ["0", "1.5", "-1", "many", "1e9"] {
        assert!(super::count(bad).is_err(), "{bad}");
    }
}
