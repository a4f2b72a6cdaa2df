//! What is published: records that look like somebody's, from a fixed seed, so that two runs publish the same.

use fastrand::Rng;

/// The seed of all generated data.
pub const SEED: u64 = 0x7164_6567_6174_6531;

const FIRST: [&str; 12] = [
    "Ada", "Bao", "Chidi", "Dana", "Emre", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi",
    "Lucía",
];
const LAST: [&str; 12] = [
    "Adeyemi", "Brandt", "Castro", "Dubois", "Eriksson", "Fischer", "Gupta", "Haddad", "Ito",
    "Jansen", "Kim", "Lopez",
];
const CITY: [&str; 10] =
    ["Lagos", "Porto", "Osaka", "Bergen", "Quito", "Tunis", "Perth", "Riga", "Pune", "Cork"];
const WORDS: [&str; 24] = [
    "delivered",
    "pending",
    "left",
    "at",
    "the",
    "front",
    "desk",
    "second",
    "attempt",
    "signed",
    "by",
    "neighbour",
    "return",
    "to",
    "sender",
    "damaged",
    "box",
    "customer",
    "called",
    "refund",
    "issued",
    "partial",
    "stock",
    "low",
];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The shortest record that the generators below can make, in bytes.
const SHORTEST: usize = 160;

/// The generator's randomness, the same in every run.
#[must_use]
pub fn seeded() -> Rng {
    Rng::with_seed(SEED)
}

/// A JSON object of exactly `length` bytes, such as an order might be: names that come again, numbers and identifiers
/// that do not. It compresses, but not to nothing.
#[must_use]
pub fn order(rng: &mut Rng, length: usize) -> String {
    let mut text = format!(
        r#"{{"id":"{:016x}","name":"{} {}","city":"{}","amount":{}.{:02},"count":{}"#,
        rng.u64(..),
        pick(rng, &FIRST),
        pick(rng, &LAST),
        pick(rng, &CITY),
        rng.u32(1..2_000),
        rng.u32(0..100),
        rng.u32(1..50),
    );
    if length > 2 * SHORTEST {
        text.push_str(r#","readings":["#);
        while text.len() < length / 2 {
            text.push_str(&format!("{},", rng.u32(0..1_000_000)));
        }
        text.push_str("0]");
    }
    text.push_str(r#","note":""#);
    while text.len() < length.saturating_sub(2) {
        text.push_str(pick(rng, &WORDS));
        text.push(' ');
    }
    close_at(text, length)
}

/// A JSON object of exactly `length` bytes that hardly compresses, so that bytes published are bytes stored.
#[must_use]
pub fn noise(rng: &mut Rng, length: usize) -> String {
    let mut text = format!(r#"{{"id":"{:016x}","payload":""#, rng.u64(..));
    while text.len() < length.saturating_sub(2) {
        text.push(char::from(BASE64[rng.usize(..BASE64.len())]));
    }
    close_at(text, length)
}

/// The publish body of several JSON values, and how many bytes the values are.
#[must_use]
pub fn json_batch(values: &[String]) -> Vec<u8> {
    let wrapped: Vec<String> =
        values.iter().map(|value| format!(r#"{{"value":{value}}}"#)).collect();
    format!(r#"{{"records":[{}]}}"#, wrapped.join(",")).into_bytes()
}

/// The same values, a line each.
#[must_use]
pub fn ndjson_batch(values: &[String]) -> Vec<u8> {
    values.iter().map(|value| format!("{{\"value\":{value}}}\n")).collect::<String>().into_bytes()
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// Ends the open string and the object so that the text has `length` bytes. What is cut off is ASCII.
fn close_at(mut text: String, length: usize) -> String {
    text.truncate(length.saturating_sub(2));
    text.push_str("\"}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_json_of_the_length_asked_for_and_differ() {
        let mut rng = seeded();
        for length in [200, 1_000] {
            for make in [order, noise] {
                let (one, two) = (make(&mut rng, length), make(&mut rng, length));
                assert_eq!(one.len(), length);
                assert_ne!(one, two);
                serde_json::from_str::<serde_json::Value>(&one).expect("JSON");
            }
        }
    }

    #[test]
    fn batches_hold_every_value_in_both_forms() {
        let mut rng = seeded();
        let values = vec![order(&mut rng, 200), order(&mut rng, 200)];
        let parsed: serde_json::Value = serde_json::from_slice(&json_batch(&values)).expect("JSON");
        assert_eq!(parsed["records"].as_array().map(Vec::len), Some(2));
        assert_eq!(ndjson_batch(&values).iter().filter(|&&byte| byte == b'\n').count(), 2);
    }
}
