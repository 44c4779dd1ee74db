//! Libraries that replace calls of the system in a program that is started with them, to play a system that
//! behaves otherwise.

use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A library that the dynamic linker loads before the system's own; its file is removed when it is dropped.
#[derive(Debug)]
pub struct Preload(TempDir);

impl Preload {
    /// Builds a library from C source.
    ///
    /// # Panics
    /// When it does not compile. `cc` is available, because Rust links with it.
    #[must_use]
    pub fn build(source: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [text, library] = ["replaced.c", "replaced.so"].map(|name| folder.path().join(name));
        std::fs::write(&text, source).expect("a file");
        let mut compiler = Command::new("cc");
        let built = compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &text]).output();
        let built = built.expect("a C compiler");
        assert!(built.status.success(), "{built:?}");
        Self(folder)
    }

    /// A line of shell after which programs are started with the library.
    #[must_use]
    pub fn line(&self) -> String {
        let library: &Path = &self.0.path().join("replaced.so");
        format!("export LD_PRELOAD='{}'", library.display())
    }
}
