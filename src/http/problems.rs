//! The refusals of a call in the OpenAPI document: by status, each code with
//! an example, made from the table of codes itself.

use crate::wire::{ErrorCode, PROBLEM_JSON, Problem};
use std::collections::BTreeMap;
use utoipa::openapi::{
    Content, Ref, RefOr, Response, ResponseBuilder,
    example::{Example, ExampleBuilder},
};

/// What any call may be answered.
const COMMON: &[ErrorCode] =
    &[ErrorCode::HostRefused, ErrorCode::TooBusy, ErrorCode::Closing, ErrorCode::Internal];

/// The responses of these codes, and of those that any call has.
pub(super) fn problems(codes: &[ErrorCode]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes.iter().chain(COMMON) {
        let of_status = by_status.entry(code.status().to_string()).or_default();
        if !of_status.contains(code) {
            of_status.push(*code);
        }
    }
    let responses = by_status.into_iter();
    responses.map(|(status, codes)| (status, RefOr::T(response(&codes)))).collect()
}

fn response(codes: &[ErrorCode]) -> Response {
    let lines: Vec<_> = codes.iter().map(|c| format!("`{c}`: {}", c.title())).collect();
    let examples = codes.iter().map(|code| (code.as_str().to_owned(), RefOr::T(example(*code))));
    let content = Content::builder()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    ResponseBuilder::new().description(lines.join("; ")).content(PROBLEM_JSON, content).build()
}

fn example(code: ErrorCode) -> Example {
    let problem = Problem::new(code, code.meaning());
    let value = serde_json::to_value(&problem).unwrap_or_default();
    ExampleBuilder::new().summary(code.title()).value(Some(value)).build()
}

/// Names the refusals of a call, for its `responses(…)`.
macro_rules! problems_of {
    ($name:ident: $($code:ident),* $(,)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::http::problems::problems(&[$($crate::wire::ErrorCode::$code),*])
            }
        }
    };
}
pub(super) use problems_of;
