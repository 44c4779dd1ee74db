//! The project's documents as a test reads them: blocks of commands, code within a sentence, links.
//!
//! A fenced block with the info string `sh` is run by a test, in the order of its page. One with `sh no-run`
//! is only read; its first line is a comment that says why. What is checked is decided by the tests.

use std::path::{Path, PathBuf};

/// A page of Markdown.
#[derive(Clone, Debug)]
pub struct Page {
    /// Path from the root of the repository.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A fenced block of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Number of its first line in the page, from 1.
    pub line: usize,
    /// What stands behind the opening fence.
    pub info: String,
    /// The lines between the fences.
    pub text: String,
}

/// The root of the repository.
///
/// # Panics
/// When this package does not lie in a folder of it.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package in the workspace's folder").to_owned()
}

/// Paths of all files and folders of the repository, from its root; those of folders end with `/`.
///
/// # Panics
/// When a folder can't be read.
#[must_use]
pub fn tree() -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    let entries = std::fs::read_dir(folder).expect("a folder of the repository").flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "target" || name == ".git" {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), &format!("{path}/"), found);
            found.push(format!("{path}/"));
        } else {
            found.push(path);
        }
    }
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(root().join(name));
        Self {
            name: name.to_owned(),
            text: text.unwrap_or_else(|error| panic!("{name} can't be read: {error}")),
        }
    }

    /// The fenced blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(info), None) => {
                    let info = info.trim().to_owned();
                    open = Some(Block { line: index + 2, info, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        blocks
    }

    /// What stands between backquotes outside of blocks.
    #[must_use]
    pub fn code(&self) -> Vec<String> {
        let prose = self.prose();
        prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Targets of the links outside of blocks.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target.to_owned()).collect()
    }

    /// Names under which GitHub links to the headings.
    #[must_use]
    pub fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter_map(|line| line.strip_prefix('#'));
        let anchor = |heading: &str| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }

    /// The text without fenced blocks.
    fn prose(&self) -> String {
        let mut is_block = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.starts_with("```") {
                is_block = !is_block;
            } else if !is_block {
                prose += line;
                prose.push('\n');
            }
        }
        prose
    }
}

impl Block {
    /// Whether a test runs it.
    #[must_use]
    pub fn is_run(&self) -> bool {
        self.info == "sh"
    }

    /// Its commands: lines without comments, with continued lines joined, each with the number of its first
    /// line.
    #[must_use]
    pub fn commands(&self) -> Vec<(usize, String)> {
        let mut commands: Vec<(usize, String)> = Vec::new();
        let mut is_continued = false;
        for (index, line) in self.text.lines().enumerate() {
            let text = line.strip_suffix('\\');
            let part = text.unwrap_or(line).trim();
            match commands.last_mut().filter(|_| is_continued) {
                Some((_, command)) => *command += &format!(" {part}"),
                None => commands.push((self.line + index, part.to_owned())),
            }
            is_continued = text.is_some();
        }
        commands.retain(|(_, command)| !command.is_empty() && !command.starts_with('#'));
        commands
    }
}

/// The words of a shell's command, as far as documents need it: quotes, a comment, and an end at `&`, `;`,
/// `|`, `>`.
#[must_use]
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('&' | ';' | '|' | '>', None) => break,
            ('#', None) if word.is_none() => break,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_code_links_and_anchors_are_found() {
        let text = "# A `b` [c](d.md#e)\n```sh\nf --g \\\n  h\n# i\n```\n## J, k\n```\nl `m`\n```\n";
        let page = Page { name: "n".to_owned(), text: text.to_owned() };
        let blocks = page.blocks();
        let infos: Vec<_> = blocks.iter().map(|block| (block.line, block.info.as_str())).collect();
        assert_eq!(infos, [(3, "sh"), (9, "")]);
        assert_eq!(blocks[0].commands(), [(3, "f --g h".to_owned())]);
        assert_eq!((page.code(), page.links()), (vec!["b".to_owned()], vec!["d.md#e".to_owned()]));
        assert_eq!(page.anchors(), ["a-b-cdmde", "j-k"]);
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(words("a --b \"c (d) 'e'\" f=g # h"), ["a", "--b", "c (d) 'e'", "f=g"]);
        assert_eq!(words("a b 2> c"), ["a", "b", "2"]);
        assert_eq!(words("a '' &"), ["a", ""]);
    }
}
