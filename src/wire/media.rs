//! Which form a body has, by its `Content-Type`, and in which form to answer,
//! by `Accept`.

use super::{ErrorCode, Problem, events::EVENT_STREAM};

/// Media type of a publish of several records, and of a page.
pub const JSON: &str = "application/json";
/// Media type of streams, both ways.
pub const NDJSON: &str = "application/x-ndjson";
/// Media type of one CloudEvent in the structured mode.
pub const CLOUDEVENT: &str = "application/cloudevents+json";
/// Media type of several CloudEvents.
pub const CLOUDEVENTS_BATCH: &str = "application/cloudevents-batch+json";

/// How the body of a publish is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `{"records": [...]}`, atomic.
    Json,
    /// One record per line, of any length.
    Ndjson,
    /// One CloudEvent, its attributes in the body.
    CloudEvent,
    /// An array of CloudEvents, atomic.
    CloudEvents,
    /// One CloudEvent, its attributes in `ce-` headers.
    BinaryCloudEvent,
    /// The body is one value.
    Raw,
}

impl BodyKind {
    /// Of a publish with this `Content-Type`; `ce_headers` says whether there
    /// is a `ce-specversion` header. `content_type_missing` without a type
    /// (an event in binary mode may go without), `content_type_unsupported`
    /// for what is no media type, and for JSON in another charset than UTF-8.
    pub fn of(content_type: Option<&str>, ce_headers: bool) -> Result<BodyKind, Problem> {
        let Some(content_type) = content_type else {
            if ce_headers {
                return Ok(BodyKind::BinaryCloudEvent);
            }
            let detail = format!("the body needs a Content-Type, such as {JSON}");
            return Err(Problem::new(ErrorCode::ContentTypeMissing, detail));
        };
        let media = MediaType::parse(content_type).ok_or_else(|| {
            let detail = format!("'{content_type}' is not a media type");
            Problem::new(ErrorCode::ContentTypeUnsupported, detail)
        })?;
        let is = |name: &str| media.essence.eq_ignore_ascii_case(name);
        let kind = if is(CLOUDEVENT) {
            BodyKind::CloudEvent
        } else if is(CLOUDEVENTS_BATCH) {
            BodyKind::CloudEvents
        } else if ce_headers {
            return Ok(BodyKind::BinaryCloudEvent);
        } else if is(JSON) {
            BodyKind::Json
        } else if is(NDJSON) || is("application/ndjson") || is("application/jsonl") {
            BodyKind::Ndjson
        } else if media.is_multipart() {
            let detail = "a multipart body is not one value; send its parts one by one";
            return Err(Problem::new(ErrorCode::ContentTypeUnsupported, detail));
        } else {
            return Ok(BodyKind::Raw);
        };
        media.require_utf8()?;
        Ok(kind)
    }
}

/// Refuses what is not `application/json` (or `+json`) in UTF-8: for the
/// calls whose bodies have one form only.
pub fn require_json(content_type: Option<&str>) -> Result<(), Problem> {
    let Some(content_type) = content_type else {
        let detail = format!("the body needs Content-Type: {JSON}");
        return Err(Problem::new(ErrorCode::ContentTypeMissing, detail));
    };
    match MediaType::parse(content_type) {
        Some(media) if media.is_json() => media.require_utf8(),
        _ => {
            let detail = format!("this call takes {JSON}, not '{content_type}'");
            Err(Problem::new(ErrorCode::ContentTypeUnsupported, detail))
        }
    }
}

/// How a read is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadForm {
    /// One JSON object: some records and a cursor.
    Page,
    /// One record per line, to the tail or beyond.
    Stream,
    /// Server-sent events, on and on.
    Events,
}

impl ReadForm {
    /// The form that `accept` prefers: the highest `q`, then the first named.
    /// A page when it says nothing. `not_acceptable` when neither will do.
    pub fn of(accept: Option<&str>) -> Result<ReadForm, Problem> {
        let Some(accept) = accept else { return Ok(ReadForm::Page) };
        let mut best: Option<(u32, ReadForm)> = None;
        for range in accept.split(',').map(str::trim).filter(|r| !r.is_empty()) {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or("").to_ascii_lowercase().as_str() {
                "*/*" | "application/*" | JSON => ReadForm::Page,
                NDJSON | "application/ndjson" | "application/jsonl" => ReadForm::Stream,
                EVENT_STREAM => ReadForm::Events,
                _ => continue,
            };
            let weight = parts.find_map(quality).unwrap_or(1_000);
            if weight > 0 && best.is_none_or(|(w, _)| weight > w) {
                best = Some((weight, form));
            }
        }
        let detail = || format!("this call answers {JSON}, {NDJSON} or {EVENT_STREAM}");
        best.map(|(_, form)| form).ok_or_else(|| Problem::new(ErrorCode::NotAcceptable, detail()))
    }

    /// Whether `accept` allows an answer in plain JSON, for the calls that
    /// have no other form.
    pub fn require_json(accept: Option<&str>) -> Result<(), Problem> {
        match ReadForm::of(accept) {
            Ok(ReadForm::Page) => Ok(()),
            Ok(ReadForm::Stream | ReadForm::Events) | Err(_) => {
                let detail = format!("this call answers {JSON}");
                Err(Problem::new(ErrorCode::NotAcceptable, detail))
            }
        }
    }
}

/// A `q=` parameter in thousandths; a broken one counts as none.
fn quality(parameter: &str) -> Option<u32> {
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    let q: f32 = value.parse().ok()?;
    (0.0..=1.0).contains(&q).then_some((q * 1_000.0) as u32)
}

/// A `Content-Type`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MediaType<'a> {
    /// `type/subtype`, in the case it came in.
    pub essence: &'a str,
    /// The value of `charset`, without quotes.
    pub charset: Option<&'a str>,
}

impl<'a> MediaType<'a> {
    pub fn parse(text: &'a str) -> Option<MediaType<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next()?;
        let (kind, subtype) = essence.split_once('/')?;
        if !token(kind) || !token(subtype) {
            return None;
        }
        let charset = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        });
        Some(MediaType { essence, charset })
    }

    /// `application/json`, `text/json` or anything `+json`.
    pub fn is_json(&self) -> bool {
        let ends = |with: &str| {
            let at = self.essence.len().checked_sub(with.len());
            at.is_some_and(|at| self.essence.as_bytes()[at..].eq_ignore_ascii_case(with.as_bytes()))
        };
        self.essence.eq_ignore_ascii_case(JSON)
            || self.essence.eq_ignore_ascii_case("text/json")
            || ends("+json")
    }

    pub fn is_text(&self) -> bool {
        self.essence.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("text/"))
    }

    fn is_multipart(&self) -> bool {
        self.essence.get(..10).is_some_and(|t| t.eq_ignore_ascii_case("multipart/"))
    }

    /// Whether the text, if it is one, says to be UTF-8 or says nothing.
    pub fn is_utf8(&self) -> bool {
        self.charset.is_none_or(|c| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|known| c.eq_ignore_ascii_case(known))
        })
    }

    fn require_utf8(&self) -> Result<(), Problem> {
        if self.is_utf8() {
            return Ok(());
        }
        let detail = format!("JSON is UTF-8, not '{}'", self.charset.unwrap_or_default());
        Err(Problem::new(ErrorCode::ContentTypeUnsupported, detail))
    }
}

fn token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_says_how_a_body_is_read() {
        for (text, kind) in [
            ("application/json", BodyKind::Json),
            ("Application/JSON; charset=UTF-8", BodyKind::Json),
            ("application/x-ndjson", BodyKind::Ndjson),
            ("application/cloudevents+json; charset=\"utf-8\"", BodyKind::CloudEvent),
            ("application/cloudevents-batch+json", BodyKind::CloudEvents),
            ("application/vnd.order+json", BodyKind::Raw),
            ("text/plain; charset=latin1", BodyKind::Raw),
            ("image/png", BodyKind::Raw),
        ] {
            assert_eq!(BodyKind::of(Some(text), false), Ok(kind), "{text}");
        }
        assert_eq!(BodyKind::of(Some(JSON), true), Ok(BodyKind::BinaryCloudEvent));
        assert_eq!(BodyKind::of(None, true), Ok(BodyKind::BinaryCloudEvent));
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        let code = |text| BodyKind::of(text, false).unwrap_err().code;
        assert_eq!(code(None), ErrorCode::ContentTypeMissing);
        for text in ["", "json", "application/", "a b/c", "multipart/form-data; boundary=x"] {
            assert_eq!(code(Some(text)), ErrorCode::ContentTypeUnsupported, "{text}");
        }
        assert_eq!(
            code(Some("application/json; charset=latin1")),
            ErrorCode::ContentTypeUnsupported
        );
        assert!(require_json(Some("text/plain")).is_err());
        assert!(require_json(Some("application/merge-patch+json")).is_ok());
    }

    #[test]
    fn accept_chooses_by_weight_then_by_place() {
        for (accept, form) in [
            (None, ReadForm::Page),
            (Some("*/*"), ReadForm::Page),
            (Some("application/x-ndjson"), ReadForm::Stream),
            (Some("application/x-ndjson, application/json"), ReadForm::Stream),
            (Some("application/x-ndjson;q=0.1, application/json"), ReadForm::Page),
            (Some("text/html, application/json;q=0.9"), ReadForm::Page),
            (Some("text/event-stream"), ReadForm::Events),
            (Some("text/event-stream, */*;q=0.1"), ReadForm::Events),
        ] {
            assert_eq!(ReadForm::of(accept), Ok(form), "{accept:?}");
        }
        assert!(ReadForm::of(Some("text/html")).is_err());
        assert!(ReadForm::of(Some("application/json;q=0")).is_err());
        assert!(ReadForm::require_json(Some("application/x-ndjson")).is_err());
    }
}
