//! Which partition a record goes to: by its key's hash, as a Java Kafka
//! producer would choose, or round-robin without one.

use super::{PartitionCount, PartitionId};

/// Kafka's 32-bit murmur2 (`org.apache.kafka.common.utils.Utils.murmur2`),
/// pinned by the vectors of Kafka's own `UtilsTest.testMurmur2`.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut h = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^= h >> 15;
    h as i32
}

/// The partition of `key`: Kafka's `toPositive(murmur2(key)) % partitions`.
#[must_use]
pub fn by_key(key: &[u8], partitions: PartitionCount) -> PartitionId {
    let positive = (murmur2(key) & 0x7fff_ffff) as u32;
    PartitionId(positive % partitions.0.max(1))
}

/// The partition of the `turn`th record without a key.
#[must_use]
pub fn round_robin(turn: u64, partitions: PartitionCount) -> PartitionId {
    PartitionId((turn % u64::from(partitions.0.max(1))) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_kafkas_own_vectors() {
        // From Kafka's UtilsTest.testMurmur2.
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn records_without_a_key_take_turns() {
        let turns: Vec<_> = (0..5).map(|t| round_robin(t, PartitionCount(3)).0).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn a_key_always_finds_a_partition_that_exists() {
        for n in 1..50 {
            for key in ["", "a", "key-17", "ü"] {
                assert!(PartitionCount(n).contains(by_key(key.as_bytes(), PartitionCount(n))));
            }
        }
    }
}
