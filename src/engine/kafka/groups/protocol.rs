//! What members of the classic protocol tell Kafka, and what they are told, as
//! bytes: read so that members of other programs can be shown. Pure.
//!
//! | | |
//! | --- | --- |
//! | subscription | version (i16), topics, user data, … |
//! | assignment | version (i16), of each topic its partitions (i32), user data |
//!
//! Texts have a length (i16) before them, lists a count (i32); all big-endian.

/// More than any member has; what claims more is damaged.
const MOST: usize = 1 << 20;

/// The topics that a member asked for; none if the bytes are no subscription.
pub(super) fn subscription(bytes: &[u8]) -> Vec<String> {
    let mut read = Reader(bytes);
    let topics = read.i16().and_then(|_version| {
        (0..read.count()?).map(|_| read.text()).collect::<Option<Vec<String>>>()
    });
    topics.unwrap_or_default()
}

/// Topics and their partitions that a member was given; none if the bytes are no
/// assignment.
pub(super) fn assignment(bytes: &[u8]) -> Vec<(String, Vec<i32>)> {
    let mut read = Reader(bytes);
    let topics = read.i16().and_then(|_version| {
        let of_topic = |read: &mut Reader<'_>| {
            let topic = read.text()?;
            let parts = (0..read.count()?).map(|_| read.i32()).collect::<Option<Vec<i32>>>()?;
            Some((topic, parts))
        };
        (0..read.count()?).map(|_| of_topic(&mut read)).collect::<Option<Vec<_>>>()
    });
    topics.unwrap_or_default()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// How many follow. No more than there are bytes: none takes less than one.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.i32()?).ok()?;
        (count <= MOST.min(self.0.len())).then_some(count)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read() {
        let bytes =
            b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\x03\0\0\0\x09\0\x02bc\0\0\0\0\0\0\0\0";
        let read = assignment(bytes);
        assert_eq!(read, [("a".to_owned(), vec![3, 9]), ("bc".to_owned(), vec![])]);
    }

    #[test]
    fn a_subscription_is_read() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(subscription(bytes), ["a", "bc"]);
    }

    #[test]
    fn what_is_cut_short_or_lies_is_nothing() {
        let whole = b"\0\x01\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x03";
        for length in 0..whole.len() {
            assert_eq!(assignment(&whole[..length]), [], "{length}");
        }
        assert_eq!(assignment(b"\0\x01\x7f\xff\xff\xff"), []);
        assert_eq!(subscription(b"\0\x01\0\0\0\x01\x7f\xff"), Vec::<String>::new());
    }
}
