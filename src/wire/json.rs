//! JSON as text: depth, white space, escapes. Works on bytes, without
//! building values and without recursion, so that no nesting can harm it.

use super::{ErrorCode, Problem};
use crate::domain::limits;
use memchr::memchr2;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::error::Category;
use std::borrow::Cow;

/// Parses a small body of one fixed shape.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let text = utf8(body)?;
    let failed = |e| refused(&e, body, ErrorCode::BodyInvalid);
    // serde would take a list of the fields' values for the object.
    if !text.trim_ascii_start().starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text).map_err(failed)?;
        return Err(Problem::new(ErrorCode::BodyInvalid, "the body must be an object"));
    }
    serde_json::from_str(text).map_err(failed)
}

/// The bytes as text, or `json_invalid`.
pub(super) fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|e| {
        let detail = format!("not UTF-8 at byte {}", e.valid_up_to());
        Problem::new(ErrorCode::JsonInvalid, detail)
    })
}

/// What the parser's refusal of `body` means: broken, too deep, or (`shape`)
/// well-formed and not what was expected.
pub(super) fn refused(error: &serde_json::Error, body: &[u8], shape: ErrorCode) -> Problem {
    let code = match error.classify() {
        Category::Data => shape,
        // The parser may have given up on the nesting itself.
        Category::Syntax | Category::Eof | Category::Io if too_deep(body) => {
            return deep("the body");
        }
        // Numbers beyond a type's range and the like are told as syntax too.
        Category::Syntax | Category::Eof | Category::Io if is_json(body) => shape,
        Category::Syntax | Category::Eof | Category::Io => ErrorCode::JsonInvalid,
    };
    Problem::new(code, error.to_string())
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// `json_too_deep`, about `what`.
pub(super) fn deep(what: &str) -> Problem {
    let max = limits::MAX_JSON_DEPTH;
    Problem::new(ErrorCode::JsonTooDeep, format!("{what} is nested deeper than {max} levels"))
}

/// Levels around a value that is as deep as allowed: body, list, record.
const ENVELOPE: usize = 3;

fn too_deep(body: &[u8]) -> bool {
    scan(body, limits::MAX_JSON_DEPTH + ENVELOPE).is_none()
}

/// What one look at a JSON text finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scan {
    /// Whether there is white space between tokens.
    spaced: bool,
}

/// Looks through a JSON text once. `None` if it is nested deeper than `max`.
fn scan(json: &[u8], max: usize) -> Option<Scan> {
    let (mut depth, mut spaced, mut at) = (0usize, false, 0usize);
    loop {
        at += dull_words(&json[at..]);
        let Some(&byte) = json.get(at) else { break };
        at += 1;
        match byte {
            b'"' => at = after_string(json, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return None;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' => spaced = true,
            _ => {}
        }
    }
    Some(Scan { spaced })
}

/// How many bytes at the front are of no interest to a scan between strings: of
/// numbers, names of values, commas and colons. Of the last seven it says 0.
fn dull_words(bytes: &[u8]) -> usize {
    // Quotes and all white space are at most a quote's code; what else is, is
    // not JSON. Brackets differ from braces by one bit.
    const AT_MOST_A_QUOTE: u64 = ONES * (b'"' as u64 + 1);
    let mut dull = 0;
    for word in bytes.chunks_exact(8) {
        let word = le_word(word);
        let low = word.wrapping_sub(AT_MOST_A_QUOTE) & !word & HIGHS;
        let folded = word | (ONES * 0x20);
        let open = zero_byte(folded ^ (ONES * u64::from(b'{')));
        let close = zero_byte(folded ^ (ONES * u64::from(b'}')));
        let found = low | open | close;
        if found != 0 {
            // Borrows may flag a byte above a flagged one, so the lowest is true.
            return dull + found.trailing_zeros() as usize / 8;
        }
        dull += 8;
    }
    dull
}

/// How long a string is looked through byte by byte.
const SHORT: usize = 16;

/// The index after the quote that closes the string whose inside begins at
/// `at`; the text's end if nothing closes it.
fn after_string(json: &[u8], mut at: usize) -> usize {
    // Most strings are names and short: a call would cost more than a look.
    for &byte in json[at..].iter().take(SHORT) {
        match byte {
            b'"' => return at + 1,
            b'\\' => break,
            _ => at += 1,
        }
    }
    while let Some(found) = memchr2(b'"', b'\\', &json[at..]) {
        at += found + 1;
        if json[at - 1] == b'"' {
            return at;
        }
        // Whatever is escaped is one byte here, or `u` and harmless digits.
        at = (at + 1).min(json.len());
    }
    json.len()
}

/// A well-formed JSON text without the white space between its tokens, and
/// nothing else changed; `json_too_deep` beyond the bound on nesting.
pub(super) fn minified(json: &str) -> Result<Cow<'_, [u8]>, Problem> {
    let json = json.as_bytes();
    match json.first() {
        // Scalars have no nesting and nothing between tokens, but may have
        // white space around.
        Some(b'{' | b'[') => {}
        _ => return Ok(Cow::Borrowed(json.trim_ascii())),
    }
    match scan(json, limits::MAX_JSON_DEPTH) {
        None => Err(deep("the value")),
        Some(Scan { spaced: false }) => Ok(Cow::Borrowed(json)),
        Some(Scan { spaced: true }) => Ok(Cow::Owned(without_space(json))),
    }
}

fn without_space(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut at = 0;
    // From here on bytes wait to be copied together.
    let mut from = 0;
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at = after_string(json, at),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.extend_from_slice(&json[from..at - 1]);
                from = at;
            }
            _ => {}
        }
    }
    out.extend_from_slice(&json[from..]);
    out
}

/// `bytes` as minified JSON, if they are JSON within the bound on nesting.
pub(super) fn sniff(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let raw: &serde_json::value::RawValue = serde_json::from_slice(bytes).ok()?;
    minified(raw.get()).ok()
}

/// What stands for each byte in a string: 0 = itself, `u` = `\u00XX`, else
/// the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Writes `text` as a JSON string with its quotes.
pub(super) fn string_into(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let (mut from, mut at) = (0, 0);
    loop {
        at += plain_words(&bytes[at..]);
        let Some(&byte) = bytes.get(at) else { break };
        let escape = ESCAPES[usize::from(byte)];
        at += 1;
        if escape != 0 {
            out.extend_from_slice(&bytes[from..at - 1]);
            from = at;
            escape_into(out, byte, escape);
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

fn escape_into(out: &mut Vec<u8>, byte: u8, escape: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if escape == b'u' {
        let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        out.extend_from_slice(b"\\u00");
        out.extend_from_slice(&digits);
    } else {
        out.extend_from_slice(&[b'\\', escape]);
    }
}

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// The high bit of each byte that is zero, and perhaps of bytes above one.
fn zero_byte(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// A chunk of eight bytes as a word.
fn le_word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// How many bytes at the front, in whole words of eight, need no escape.
fn plain_words(bytes: &[u8]) -> usize {
    let mut plain = 0;
    for word in bytes.chunks_exact(8) {
        let word = le_word(word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let quote = zero_byte(word ^ (ONES * u64::from(b'"')));
        let slash = zero_byte(word ^ (ONES * u64::from(b'\\')));
        // Borrows may flag a plain byte after a flagged one, never miss one.
        if control | quote | slash != 0 {
            break;
        }
        plain += 8;
    }
    plain
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
