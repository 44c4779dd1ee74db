//! What pages are made of: escaped text, tables, and a page that needs nothing but itself.
//!
//! A page has no script, loads nothing, and says so to the browser. Colours follow the reader's preference.

use host::printable;
use std::fmt::Write as _;

/// The style of all pages.
const STYLE: &str = include_str!("style.css");
/// First line of the pages, by which they are known again.
pub const MARK: &str = "<!doctype html><!-- written by Lockstep -->\n";

/// Text from anywhere as text of a page: nothing in it is markup, and control characters are shown.
#[must_use]
pub fn text(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    for c in printable(raw).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // They turn the direction of what follows, outside of their own text too.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                // Writing to a string can't fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A whole page; `title` is text, `body` markup.
#[must_use]
pub fn page(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "{MARK}<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n{body}</main></body></html>\n"
    )
}

/// A section with a heading; `body` is markup.
#[must_use]
pub fn section(heading: &str, body: &str) -> String {
    format!("<section><h2>{}</h2>\n{body}</section>\n", text(heading))
}

/// A paragraph; `words` are text.
#[must_use]
pub fn paragraph(words: &str) -> String {
    format!("<p>{}</p>\n", text(words))
}

/// A part that is open only on demand; `body` is markup.
#[must_use]
pub fn details(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>\n{body}</details>\n", text(summary))
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Text, at the left.
    Text(String),
    /// A number, at the right.
    Number(String),
    /// Markup, at the left.
    Markup(String),
    /// A number on a ground that is the stronger the larger the share is, in red for a mistake.
    Shaded {
        /// The number.
        number: String,
        /// 0 to 1.
        share: f64,
        /// Whether it counts mistakes.
        is_mistake: bool,
    },
}

impl Cell {
    /// A cell with text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A cell with a number.
    pub fn number(number: impl Into<String>) -> Self {
        Self::Number(number.into())
    }

    fn markup(&self, is_head: bool) -> String {
        match self {
            Self::Text(words) if is_head => format!("<th scope=\"row\">{}</th>", text(words)),
            Self::Text(words) => format!("<td>{}</td>", text(words)),
            Self::Number(number) => format!("<td class=\"n\">{}</td>", text(number)),
            Self::Markup(markup) => format!("<td>{markup}</td>"),
            Self::Shaded { number, share, is_mistake } => {
                let (kind, most) = if *is_mistake { ("wrong", 85.0) } else { ("right", 40.0) };
                let percent = most * share.clamp(0.0, 1.0).sqrt();
                format!("<td class=\"n {kind}\" style=\"--share:{percent:.0}%\">{}</td>", text(number))
            }
        }
    }
}

/// A table with a caption; the first cell of a row is its heading.
#[must_use]
pub fn table(caption: &str, heads: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut markup = format!("<div class=\"scroll\"><table><caption>{}</caption><thead><tr>", text(caption));
    for (place, head) in heads.iter().enumerate() {
        let is_number = rows.iter().any(|row| matches!(row.get(place), Some(Cell::Number(_))));
        let class = if is_number { " class=\"n\"" } else { "" };
        // Writing to a string can't fail.
        let _ = write!(markup, "<th scope=\"col\"{class}>{}</th>", text(head));
    }
    markup.push_str("</tr></thead><tbody>\n");
    for row in rows {
        let cells: String = row.iter().enumerate().map(|(place, cell)| cell.markup(place == 0)).collect();
        let _ = writeln!(markup, "<tr>{cells}</tr>");
    }
    markup + "</tbody></table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(text("a<script>&\"'\u{1b}\u{202e}"), "a&lt;script&gt;&amp;&quot;&#39;\\u001b\\u202e");
        let evil = "</td><script>alert(1)</script>";
        let cells = vec![vec![Cell::text(evil), Cell::number(evil), Cell::text(evil)]];
        let page =
            page(evil, &section(evil, &(table(evil, &[evil], &cells) + &details(evil, &paragraph(evil)))));
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 9, "{page}");
    }

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let page = page("a", "");
        assert!(page.starts_with(MARK) && page.contains("default-src 'none'"), "{page}");
        for outside in ["http://", "https://", "src=", "@import", "url(", "<link"] {
            assert!(!page.contains(outside), "{outside}: {page}");
        }
    }
}
