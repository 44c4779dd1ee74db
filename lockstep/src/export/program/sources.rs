//! Pieces of program text: those functions of a source that are used, and tables of numbers.

use std::fmt::Write as _;

/// Most columns of a line with numbers.
const COLUMNS_MAX: usize = 110;

/// The items of `source` that `text` uses, and those that they use, in the source's order. Items are apart by
/// an empty line; the first one, which says what the source is, is none.
pub(in super::super) fn used(source: &str, text: &str) -> String {
    let items: Vec<&str> = source.trim_end().split("\n\n").skip(1).collect();
    let mut is_used = vec![false; items.len()];
    let mut texts = vec![text];
    while let Some(text) = texts.pop() {
        let code = text.lines().filter(|line| !line.starts_with("//") && !line.starts_with("/*"));
        let words: Vec<&str> = code.flat_map(|line| line.split(|c: char| !is_word(c))).collect();
        for (item, is_used) in items.iter().zip(&mut is_used) {
            if !*is_used && words.contains(&name(item)) {
                *is_used = true;
                texts.push(item);
            }
        }
    }
    let items = items.iter().zip(is_used).filter(|(_, is_used)| *is_used);
    items.map(|(item, _)| format!("{}\n\n", item.replace("pub(super) ", ""))).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The name that an item defines: the last word of a C type, else the one before arguments, fields or value.
fn name(item: &str) -> &str {
    let code = item.lines().find(|line| !line.starts_with(['/', '#'])).unwrap_or_default();
    let code = code.strip_prefix("pub(super) ").unwrap_or(code);
    let end = if code.starts_with("typedef") { code.rfind(';') } else { code.find(['(', '{', '=']) };
    let before = code[..end.unwrap_or(code.len())].trim_end();
    before.rsplit(|c| !is_word(c)).next().unwrap_or_default()
}

/// Numbers as lines of a list.
pub(in super::super) fn list<T>(values: &[T], number: impl Fn(&T) -> String) -> String {
    let mut text = String::new();
    let mut columns = 0;
    for value in values {
        let number = number(value);
        if columns == 0 || columns + number.len() + 2 > COLUMNS_MAX {
            text += if text.is_empty() { "   " } else { "\n   " };
            columns = 3;
        }
        // Writing to a string can't fail.
        let _ = write!(text, " {number},");
        columns += number.len() + 2;
    }
    text + "\n"
}
