//! Logs made by hand, for what real databases leave too seldom to wait for. Segments are 256 bytes long.

use std::fs;

use tempfile::TempDir;

use super::super::flip::altered;
use super::super::format::{SEGMENT_HEADER, checksum, varint};
use super::super::{Verdict, Walk, walk};

const SIZE: usize = 256;
const CAP: u8 = 2;
const BATCH: u8 = 3;
const NODE: u8 = 8;
const LINK: u8 = 10;

#[test]
fn varints_are_read_as_the_table_says() {
    let cases: [(&[u8], u64); 8] = [
        (&[240], 240),
        (&[241, 0], 240),
        (&[241, 1], 241),
        (&[248, 255], 2287),
        (&[249, 0, 0], 2288),
        (&[249, 255, 255], 67823),
        (&[250, 1, 2, 3], 0x03_0201),
        (&[255, 1, 2, 3, 4, 5, 6, 7, 8], 0x0807_0605_0403_0201),
    ];
    for (bytes, value) in cases {
        let rest = &mut &*bytes;
        assert_eq!((varint(rest), rest.is_empty()), (Some(value), true), "{bytes:?}");
        assert_eq!(varint(&mut &bytes[..bytes.len() - 1]), None);
    }
}

#[test]
fn a_log_of_whole_segments_is_whole() {
    let found = judge(&[full(0, -1), full(1, 255), full(2, 511)]);
    assert_eq!((found.verdict, found.end_lsn, found.segments), (Verdict::Whole, 3 * 256, 3));
}

#[test]
fn a_bad_message_below_the_stable_lsn_is_damage() {
    let mut log = [full(0, -1), full(1, 255), full(2, 511)];
    log[1][SEGMENT_HEADER..SEGMENT_HEADER + 60].fill(0);
    match judge(&log).verdict {
        Verdict::Damaged { at: 276, lsn: 276, bytes_behind, .. } => assert!(bytes_behind > 300),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hole_above_the_stable_lsn_is_a_torn_tail_whatever_lies_behind() {
    let mut log = [full(0, -1), full(1, 255), full(2, 255), full(3, 255)];
    log[2][SEGMENT_HEADER..SEGMENT_HEADER + 60].fill(0);
    match judge(&log).verdict {
        Verdict::TornTail { at: 532, lsn: 532, dropped } => assert!(dropped > 200),
        other => panic!("{other:?}"),
    }
    let found = judge(&[full(0, -1), full(1, 255), full(3, 255)]);
    assert!(matches!(found.verdict, Verdict::TornTail { lsn: 512, .. }), "{found:?}");
}

#[test]
fn one_altered_byte_above_the_stable_lsn_is_damage() {
    for at in SEGMENT_HEADER..SEGMENT_HEADER + 48 {
        for change in [1, 0x80, 0xFF] {
            let mut log = [full(0, -1), full(1, 255)];
            log[1][at] ^= change;
            let found = judge(&log);
            assert!(
                matches!(found.verdict, Verdict::Damaged { at: 276, .. }),
                "{at} {change}: {found:?}"
            );
        }
    }
}

#[test]
fn a_half_written_message_is_not_an_altered_byte() {
    let whole = message(NODE, 1, 0, &[7; 200]);
    for kept in 10..whole.len() - 2 {
        let mut torn = whole.clone();
        torn[kept..].fill(0);
        assert!(!altered(&torn, 1, Some(torn.len())), "{kept}");
    }
}

#[test]
fn a_missing_segment_below_the_stable_lsn_was_freed_unless_the_log_ends_there() {
    assert_eq!(judge(&[full(3, 767), full(1, 255), full(2, 511)]).verdict, Verdict::Whole);
    let found = judge(&[full(0, -1), full(1, 255), full(4, 767)]);
    assert!(matches!(found.verdict, Verdict::Damaged { lsn: 512, .. }), "{found:?}");
}

#[test]
fn a_freed_segment_that_is_being_written_anew_is_no_damage() {
    // The second half of the segment to come has been written over the first, the half with its header has not.
    let mut log = [full(0, -1), full(1, 255), full(2, 511), full(3, 767)];
    let new = message(NODE, 4, 0, &[9; 60]);
    log[0][100..100 + new.len()].copy_from_slice(&new);
    let found = judge(&log);
    assert_eq!(
        (found.end_lsn, matches!(found.verdict, Verdict::TornTail { .. })),
        (1024, true),
        "{found:?}"
    );
}

#[test]
fn a_batch_that_the_log_does_not_contain_to_its_end_is_cut() {
    let batch = |last: i64| message(BATCH, 1, 9, &last.to_le_bytes());
    let log = |last| [full(0, -1), segment(1, 255, &[batch(last), message(NODE, 1, 0, &[1; 40])])];
    // 20 bytes of header, 16 of manifest, 48 of message.
    assert_eq!(judge(&log(256 + 83)).verdict, Verdict::Whole);
    let found = judge(&log(256 + 84));
    assert_eq!(
        (found.end_lsn, found.verdict),
        (276, Verdict::TornTail { at: 276, lsn: 276, dropped: 64 })
    );
}

#[test]
fn a_page_with_changes_and_no_state_is_damage() {
    let found =
        judge(&[segment(0, -1, &[message(NODE, 0, 0, &[1; 40]), message(LINK, 0, 1, &[1; 40])])]);
    assert!(matches!(found.verdict, Verdict::Damaged { .. }), "{found:?}");
}

#[test]
fn a_header_that_is_neither_whole_nor_blank_is_damage() {
    let mut log = [full(0, -1), full(1, 255), full(2, 511)];
    log[1][13] ^= 1;
    assert!(matches!(judge(&log).verdict, Verdict::Damaged { at: 256, .. }));
    log[1][..SEGMENT_HEADER].fill(0);
    assert!(matches!(judge(&log).verdict, Verdict::Damaged { .. }));
    let twice = judge(&[full(0, -1), full(2, 255), full(2, 255)]);
    assert!(matches!(twice.verdict, Verdict::Damaged { at: 512, .. }), "{twice:?}");
}

fn judge(places: &[Vec<u8>]) -> Walk {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("db"), places.concat()).unwrap();
    walk(&dir.path().join("db"), SIZE).unwrap()
}

/// A segment of two states of page 0 and a cap.
fn full(number: u64, stable: i64) -> Vec<u8> {
    let state = || message(NODE, number, 0, &[number as u8 + 1; 40]);
    let used = SEGMENT_HEADER + 2 * state().len();
    let cap = message(CAP, number, 0, &vec![0; SIZE - used - 32]);
    segment(number, stable, &[state(), state(), cap])
}

fn segment(number: u64, stable: i64, messages: &[Vec<u8>]) -> Vec<u8> {
    let lsn = number as i64 * SIZE as i64;
    let words = [(lsn ^ i64::MAX).to_le_bytes(), (stable ^ i64::MAX).to_le_bytes()].concat();
    let mut segment = (crc32fast::hash(&words) ^ u32::MAX).to_le_bytes().to_vec();
    segment.extend(words);
    segment.extend(messages.concat());
    segment.resize(SIZE, 0);
    segment
}

fn message(kind: u8, number: u64, page: u64, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, kind, body.len() as u8, number as u8, page as u8];
    message.extend(body);
    let crc = checksum(&message, 8);
    message[..4].copy_from_slice(&crc.to_le_bytes());
    message
}
