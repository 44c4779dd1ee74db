//! `--model`: a network's name, its layers, or `@FILE` with either.
//!
//! In a file words may stand on lines of their own, and what follows a `#` on a line is a comment.

use common::model::architecture::Layers;
use common::text::TEXT_BYTES_MAX;
use host::files::{Links, read_regular};
use std::path::Path;

/// Parses the flag's value.
///
/// # Errors
/// When the file can't be read, or the text describes no network.
pub(super) fn network(value: &str) -> Result<Layers, String> {
    let Some(path) = value.strip_prefix('@') else {
        return value.parse().map_err(|error| format!("{error}"));
    };
    let bytes = read_regular(Path::new(path), TEXT_BYTES_MAX as u64, Links::Followed)
        .map_err(|error| format!("{path}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{path}: it is not text in UTF-8"))?;
    without_comments(&text).parse().map_err(|error| format!("{path}: {error}"))
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_network_with_comments() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.txt");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            network(&format!("@{}", path.display()))
        };
        let expected = network("flatten dense(8) relu dense").unwrap();
        assert_eq!(
            read(b"# an mlp\nflatten   # as a vector\n\tdense(8) relu\r\ndense\n"),
            Ok(expected.clone())
        );
        assert_eq!(read(b"mlp(8)\n"), Ok(expected));
        for (content, message) in [
            (&b"flatten\ndence"[..], "network.txt: layer 2: \"dence\" is not known"),
            (b"# nothing\n", "network.txt: a network has 1 to 256 layers, got 0"),
            (b"\xff", "network.txt: it is not text"),
            (&vec![b' '; TEXT_BYTES_MAX + 1], "network.txt: "),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        assert!(network("@/nowhere/network.txt").unwrap_err().starts_with("/nowhere/network.txt: "));
    }
}
