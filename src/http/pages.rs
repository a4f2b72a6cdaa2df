//! Pages for people: where to begin, what each error code means, and the API
//! with Swagger UI. All from the binary; nothing is fetched from elsewhere.

use super::{App, extract::CodePath, openapi, refusal::Refusal};
use crate::wire::ErrorCode;
use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, uri::Authority},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use std::{
    fmt::Write,
    sync::{Arc, LazyLock},
};
use utoipa_swagger_ui::Config;

const FRAMES: &str = include_str!("../../openapi/tidegate.v1.asyncapi.yaml");
const STYLE: &str = include_str!("pages/style.css");
/// Else a browser asks for one, and finds nothing.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Cpath d='M0 9q4-7 8 0t8 0v7H0z' fill='%230b7ac4'/%3E%3C/svg%3E";
/// How `home.html` names the address of the gateway.
const HOME_HOST: &str = "localhost:8080";
/// Pages of ours load their style alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Swagger UI has scripts of its own, sets styles as it goes, and calls the API.
const SWAGGER_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of Swagger UI has a title that does not say of what, and does not
/// tell a phone that it fits.
const SWAGGER_TITLE: &str = "<title>Swagger UI</title>";
const API_TITLE: &str = "<title>API – tidegate</title>\n    \
     <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">";

static DOCUMENT: LazyLock<String> = LazyLock::new(openapi::document);
static SWAGGER: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(Config::from("/openapi.json").try_it_out_enabled(true).validator_url("none"))
});

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(home))
        .route("/asyncapi.yaml", get(frames))
        .route("/docs/style.css", get(style))
        .route("/docs/errors", get(errors))
        .route("/docs/errors/{code}", get(error))
        .route("/docs/api", get(|| async { Redirect::permanent("/docs/api/") }))
        .route("/docs/api/", get(|| async { swagger("") }))
        .route("/docs/api/{*file}", get(|Path(file): Path<String>| async move { swagger(&file) }))
}

pub(super) fn answer(kind: &'static str, policy: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    let policy_name = header::CONTENT_SECURITY_POLICY;
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, kind),
        (policy_name, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn page(title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – tidegate</title>\n<link rel=\"icon\" href=\"{ICON}\">\n\
         <link rel=\"stylesheet\" href=\"/docs/style.css\">\n\
         </head>\n<body>\n<header><a href=\"/\">tidegate</a><nav><a href=\"/\">Live</a>\
         <a href=\"/docs\">Docs</a><a href=\"/docs/api/\">API</a></nav></header>\n\
         <main>\n{body}\n</main>\n\
         </body>\n</html>\n"
    );
    answer("text/html; charset=utf-8", PAGE_POLICY, html)
}

/// Text as it stands in HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

/// Text in HTML whose backticks mark code.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    for (index, part) in escaped(text).split('`').enumerate() {
        match (index, index % 2) {
            (0, _) => {}
            (_, 1) => out.push_str("<code>"),
            _ => out.push_str("</code>"),
        }
        out.push_str(part);
    }
    out
}

async fn style() -> Response {
    answer("text/css; charset=utf-8", PAGE_POLICY, STYLE)
}

async fn document() -> Response {
    answer("application/json", PAGE_POLICY, DOCUMENT.as_str())
}

/// The frames of the WebSocket, as AsyncAPI.
async fn frames() -> Response {
    answer("application/yaml", PAGE_POLICY, FRAMES)
}

/// With the address that the reader came by in the lines to try.
async fn home(uri: Uri, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(Authority::as_str).or(host).unwrap_or(HOME_HOST);
    page("Start", &include_str!("pages/home.html").replace(HOME_HOST, &escaped(host)))
}

async fn errors() -> Response {
    let mut body = "<h1>Error codes</h1>\n<p>Every refusal is a JSON object \
        (<code>application/problem+json</code>) with a <code>code</code>. <code>retryable</code> \
        says whether the same request may succeed later, <code>may_have_happened</code> whether \
        it may have had an effect.</p>\n<table>\n<tr><th>Code</th><th>Status</th>\
        <th>Retry</th><th>Meaning</th></tr>\n"
        .to_owned();
    for code in ErrorCode::ALL {
        let retry = if code.retryable() { "yes" } else { "no" };
        let (status, title) = (code.status(), escaped(code.title()));
        // Writing to a string cannot fail.
        let _written = writeln!(
            body,
            "<tr><td><a href=\"/docs/errors/{code}\"><code>{code}</code></a></td>\
             <td>{status}</td><td>{retry}</td><td>{title}</td></tr>"
        );
    }
    body.push_str("</table>");
    page("Error codes", &body)
}

async fn error(CodePath(code): CodePath) -> Result<Response, Refusal> {
    let Some(code) = ErrorCode::parse(&code) else {
        return Err(Refusal::new(ErrorCode::RouteUnknown, "there is no such error code"));
    };
    let yes = |is: bool| if is { "Yes" } else { "No" };
    let again = match code.retry_after_secs() {
        Some(seconds) => format!("Yes, after about {seconds} s"),
        None => yes(code.retryable()).to_owned(),
    };
    let happened = yes(code.may_have_happened());
    let (status, title) = (code.status(), escaped(code.title()));
    let (meaning, remedy) = (prose(code.meaning()), prose(code.remedy()));
    let body = format!(
        "<h1>{title}</h1>\n<p><code>{code}</code> · status {status}</p>\n\
         <h2>What happened</h2>\n<p>{meaning}</p>\n<h2>What to do</h2>\n<p>{remedy}</p>\n\
         <dl><dt>May the same request succeed later?</dt><dd>{again}</dd>\
         <dt>May it have had an effect?</dt><dd>{happened}</dd></dl>\n\
         <p><a href=\"/docs/errors\">All error codes</a></p>"
    );
    Ok(page(&title, &body))
}

fn swagger(file: &str) -> Response {
    match utoipa_swagger_ui::serve(file, Arc::clone(&SWAGGER)) {
        Ok(Some(found)) => {
            let mut bytes = found.bytes.into_owned();
            if file.is_empty() {
                bytes = String::from_utf8_lossy(&bytes).replace(SWAGGER_TITLE, API_TITLE).into();
            }
            let mut response = answer("text/html; charset=utf-8", SWAGGER_POLICY, bytes);
            if let Ok(kind) = HeaderValue::try_from(found.content_type) {
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            *response.status_mut() = StatusCode::OK;
            response
        }
        Ok(None) => Refusal::new(ErrorCode::RouteUnknown, "nothing is served under this path")
            .into_response(),
        Err(error) => Refusal::internal(error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_mark_code_and_nothing_else_is_markup() {
        assert_eq!(
            prose("run `tidegate check`: <a> & `b`"),
            "run <code>tidegate check</code>: &lt;a&gt; &amp; <code>b</code>"
        );
        for code in ErrorCode::ALL {
            for text in [code.meaning(), code.remedy()] {
                assert_eq!(text.matches('`').count() % 2, 0, "{code}: {text}");
            }
        }
    }
}
