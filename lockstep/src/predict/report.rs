//! Answers as text for people, as JSON, and as CSV: a line for each picture.

use super::Seen;
use super::components::Bounds;
use super::novelty::Doubt;
use common::data::classes::ClassNames;
use host::printable;
use serde::Serialize;
use std::path::Path;

/// First line of the CSV.
pub const HEADER: &str = "file,class,probability,runner_up,runner_up_probability,not_a_digit\n";

/// An answer as it is written.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Answer<'a> {
    /// Most likely class; nothing on empty paper.
    pub class: Option<&'a str>,
    /// Mean probability over the views.
    pub probability: f64,
    pub runner_up: Option<&'a str>,
    pub runner_up_probability: f64,
    /// Why it is no digit; nothing if it is one.
    pub not_a_digit: Option<Doubt>,
    /// Where it lies; nothing of the picture as a whole.
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A rectangle in the picture's own pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Place {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    #[serde(flatten)]
    answer: Answer<'a>,
}

/// The digits of a row.
#[derive(Serialize)]
struct Digits<'a> {
    text: String,
    digits: Vec<Answer<'a>>,
}

/// A line of JSON for a row of digits.
#[derive(Serialize)]
struct Row<'a> {
    file: &'a str,
    #[serde(flatten)]
    digits: Digits<'a>,
}

/// A line of JSON for a page.
#[derive(Serialize)]
struct Page<'a> {
    file: &'a str,
    rows: Vec<Digits<'a>>,
}

/// What stands for a thing in a text: its class, or a question mark.
#[must_use]
pub fn character<'a>(seen: &Seen, classes: &'a ClassNames) -> &'a str {
    let verdict = seen.verdict.as_ref().filter(|_| seen.doubt.is_none());
    verdict.map_or("?", |verdict| classes.get(verdict.best_two()[0]))
}

/// The digits of a row as text; what is no digit is a question mark.
#[must_use]
pub fn row_text(seen: &[Seen], classes: &ClassNames) -> String {
    seen.iter().map(|seen| character(seen, classes)).collect()
}

/// A row for a person: its digits, and the least probability among them.
#[must_use]
pub fn row_line(file: &Path, seen: &[Seen], classes: &ClassNames) -> String {
    let file = file.to_string_lossy();
    let least = seen.iter().map(|seen| Answer::of(seen, classes).probability).fold(1.0, f64::min);
    match seen {
        [] => format!("{}: no digits\n", printable(&file)),
        _ => format!("{}: {} (least {:.2} %)\n", printable(&file), row_text(seen, classes), 100.0 * least),
    }
}

/// A row as a line of JSON.
///
/// # Errors
/// Never: all values have a form in JSON.
pub fn row_json(file: &Path, seen: &[Seen], classes: &ClassNames) -> serde_json::Result<String> {
    let file = file.to_string_lossy();
    let row = Row { file: &file, digits: Digits::of(seen, classes) };
    Ok(serde_json::to_string(&row)? + "\n")
}

/// A page for a person: a line for each row.
#[must_use]
pub fn page_lines(file: &Path, rows: &[Vec<Seen>], classes: &ClassNames) -> String {
    if rows.is_empty() {
        return row_line(file, &[], classes);
    }
    let file = file.to_string_lossy();
    let of_row = |(number, row): (usize, &Vec<Seen>)| {
        row_line(Path::new(&format!("{file}, row {number}")), row, classes)
    };
    (1..).zip(rows).map(of_row).collect()
}

/// A page as a line of JSON.
///
/// # Errors
/// Never: all values have a form in JSON.
pub fn page_json(file: &Path, rows: &[Vec<Seen>], classes: &ClassNames) -> serde_json::Result<String> {
    let file = file.to_string_lossy();
    let rows = rows.iter().map(|row| Digits::of(row, classes)).collect();
    Ok(serde_json::to_string(&Page { file: &file, rows })? + "\n")
}

impl<'a> Digits<'a> {
    fn of(seen: &[Seen], classes: &'a ClassNames) -> Self {
        let digits = seen.iter().map(|seen| Answer::of(seen, classes)).collect();
        Self { text: row_text(seen, classes), digits }
    }
}

impl From<Bounds> for Place {
    fn from(bounds: Bounds) -> Self {
        Self { x: bounds.left, y: bounds.top, width: bounds.width(), height: bounds.height() }
    }
}

impl<'a> Answer<'a> {
    /// The answer with the names of the classes.
    #[must_use]
    pub fn of(seen: &Seen, classes: &'a ClassNames) -> Self {
        let two = seen.verdict.as_ref().map(|verdict| {
            verdict.best_two().map(|class| (classes.get(class), verdict.probabilities[class]))
        });
        let [first, second] = two.map_or([None, None], |two| two.map(Some));
        Self {
            class: first.map(|(name, _)| name),
            probability: first.map_or(0.0, |(_, probability)| probability),
            runner_up: second.map(|(name, _)| name),
            runner_up_probability: second.map_or(0.0, |(_, probability)| probability),
            not_a_digit: seen.doubt,
            place: seen.bounds.map(Place::from),
        }
    }

    /// For a person.
    #[must_use]
    pub fn text(&self, file: &Path) -> String {
        let file = file.to_string_lossy();
        let file = printable(&file);
        let likely = || {
            let named = |name: Option<&str>, probability: f64| {
                format!("{} {:.2} %", printable(name.unwrap_or_default()), 100.0 * probability)
            };
            let first = named(self.class, self.probability);
            format!("{first}, then {}", named(self.runner_up, self.runner_up_probability))
        };
        match self.not_a_digit {
            None => format!("{file}: {}\n", likely()),
            Some(doubt @ Doubt::Unsure) => format!("{file}: not a digit ({doubt}: {})\n", likely()),
            Some(doubt) => format!("{file}: not a digit ({doubt})\n"),
        }
    }

    /// As a line of JSON.
    ///
    /// # Errors
    /// Never: all values have a form in JSON.
    pub fn json(self, file: &Path) -> serde_json::Result<String> {
        let file = file.to_string_lossy();
        Ok(serde_json::to_string(&Line { file: &file, answer: self })? + "\n")
    }

    /// As a line of CSV.
    #[must_use]
    pub fn csv(&self, file: &Path) -> String {
        let [class, runner_up] = [self.class, self.runner_up].map(|name| quoted(name.unwrap_or_default()));
        let doubt = self.not_a_digit.map_or(String::new(), |doubt| quoted(&doubt.to_string()));
        let [first, second] = [self.probability, self.runner_up_probability];
        format!("{},{class},{first:.6},{runner_up},{second:.6},{doubt}\n", quoted(&file.to_string_lossy()))
    }
}

/// A field of CSV (RFC 4180), in quotes where its text asks for them.
#[must_use]
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::Verdict;
    use super::*;

    fn seen(doubt: Option<Doubt>) -> Seen {
        let verdict = Verdict { probabilities: vec![0.25, 0.75], agreeing: [5, 5] };
        Seen { verdict: Some(verdict), doubt, bounds: None, input: Vec::new() }
    }

    #[test]
    fn an_answer_has_three_forms() {
        let classes = ClassNames::new(["cat, \"black\"", "dog\u{1b}"]);
        let answer = Answer::of(&seen(None), &classes);
        let file = Path::new("a,b.png");
        assert_eq!(answer.text(file), "a,b.png: dog\\u001b 75.00 %, then cat, \"black\" 25.00 %\n");
        assert_eq!(answer.csv(file), "\"a,b.png\",dog\u{1b},0.750000,\"cat, \"\"black\"\"\",0.250000,\n");
        let json = answer.json(file).unwrap();
        assert!(!json.contains("\"box\""), "{json}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((value["file"].as_str(), value["probability"].as_f64()), (Some("a,b.png"), Some(0.75)));
        assert!(value["not_a_digit"].is_null());
        let bounds = Some(Bounds { left: 3, top: 4, right: 10, bottom: 30 });
        let json = page_json(file, &[vec![Seen { bounds, ..seen(None) }]], &classes).unwrap();
        assert!(json.contains(r#""box":{"x":3,"y":4,"width":7,"height":26}"#), "{json}");
        assert_eq!(
            page_lines(file, &[vec![seen(Some(Doubt::Wide))]], &classes),
            "a,b.png, row 1: ? (least 75.00 %)\n"
        );
        let unsure = Answer::of(&seen(Some(Doubt::Unsure)), &classes);
        assert!(unsure.text(file).contains("not a digit (the model can't tell which: dog"));
        assert!(unsure.json(file).unwrap().contains(r#""not_a_digit":"unsure""#));
    }
}
