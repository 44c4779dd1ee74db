//! The page to draw on: one file, with its script and style in it, and nothing from elsewhere.
//!
//! Its policy lets a browser run this script and this style alone, by their digests, and speak with this
//! server alone.

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// The page.
pub const HTML: &str = include_str!("page.html");

/// The page with its policy.
#[derive(Clone, Debug)]
pub struct Page {
    /// The text.
    pub html: &'static str,
    /// The value of `Content-Security-Policy`.
    pub policy: HeaderValue,
}

impl Page {
    /// The page of this text; `None` without a script and a style in it.
    #[must_use]
    pub fn of(html: &'static str) -> Option<Self> {
        let script = digest(between(html, "<script>", "</script>")?);
        let style = digest(between(html, "<style>", "</style>")?);
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data: blob:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Some(Self { html, policy: HeaderValue::try_from(policy).ok()? })
    }
}

fn between(text: &'static str, begin: &str, end: &str) -> Option<&'static str> {
    Some(text.split_once(begin)?.1.split_once(end)?.0)
}

fn digest(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_asks_nobody_else() {
        let page = Page::of(HTML).unwrap();
        assert!(page.policy.to_str().unwrap().contains("script-src 'sha256-"));
        for (tag, count) in [("<script", 1), ("<style", 1), ("http://", 0), ("https://", 0), ("//cdn", 0)] {
            // The name space of SVG is no address.
            assert_eq!(HTML.replace("http://www.w3.org/2000/svg", "").matches(tag).count(), count, "{tag}");
        }
        for attribute in [" style=", " onclick=", " onload=", " src=\"http"] {
            assert!(!HTML.contains(attribute), "the policy forbids {attribute}");
        }
        assert!(Page::of("<p>").is_none());
    }
}
