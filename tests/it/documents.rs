//! The documents say what is so: their commands run, and the flags, files and names that they mention exist.
//!
//! A page's commands run in an empty folder, in the order of the page, with two differences: the data set is
//! a small one, and the loopback address is one that no other page has.

use clap::{CommandFactory, Parser};
use common::data::digits::Half;
use coordinator::cli::tokens::TokenFlags;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::documents::{Block, Page, root, tree, words};
use tests::process::program;
use tests::small_data::{SmallData, TEST, TRAIN, drawn};
use tests::small_pictures::SmallPictures;
use tests::tables;

/// Tests that run the commands of a page.
macro_rules! pages {
    ($($test:ident: $page:literal),+ $(,)?) => {
        /// Pages for users: their commands run.
        const PAGES: &[&str] = &[$($page),+];
        $(#[test]
        fn $test() {
            run_commands(&Page::read($page));
        })+
    };
}

pages! {
    commands_of_the_readme_run: "README.md",
    commands_about_checkpoints_run: "docs/checkpoints.md",
    commands_about_compression_run: "docs/compression.md",
    commands_about_data_run: "docs/data.md",
    commands_about_faults_run: "docs/faults.md",
    commands_about_installing_run: "docs/install.md",
    commands_about_jobs_run: "docs/jobs.md",
    commands_about_metrics_run: "docs/metrics.md",
    commands_about_mirrors_run: "docs/mirror.md",
    commands_about_models_run: "docs/models.md",
    commands_about_networks_run: "docs/networks.md",
    commands_about_predicting_run: "docs/predict.md",
    commands_about_running_run: "docs/running.md",
    commands_about_runs_run: "docs/runs.md",
    commands_about_security_run: "docs/security.md",
    commands_about_serving_run: "docs/serve.md",
    commands_of_the_tour_run: "docs/tour.md",
    commands_of_the_tour_in_chinese_run: "docs/tour.zh.md",
    commands_about_training_run: "docs/training.md",
    commands_about_transfer_learning_run: "docs/transfer.md",
    commands_about_troubleshooting_run: "docs/troubleshooting.md",
    commands_about_tuning_run: "docs/tuning.md",
    commands_about_watching_run: "docs/watching.md",
}
/// Pages for developers: what they name exists.
const FOR_DEVELOPERS: [&str; 5] =
    ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "proto/README.md", "tests/README.md"];
/// Timeout of one block of commands, many times what one takes.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at whether a block has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Where the programs of a release build are.
const PROGRAMS: &str = "./target/release/";
/// The address in documents.
const ADDRESS: &str = "127.0.0.1:29400";
/// The soak's flags, read from its source because an example has no library.
const SOAK: &str = "tests/examples/soak/main.rs";

#[test]
fn every_page_is_run() {
    let pages: BTreeSet<_> = tree().into_iter().filter(|path| path.starts_with("docs/")).collect();
    let pages: Vec<_> = pages.iter().filter(|path| path.ends_with(".md")).map(String::as_str).collect();
    assert_eq!(pages, PAGES[1..], "add the page to the list above");
}

#[test]
fn messages_that_are_explained_are_those_of_the_programs() {
    let sources = tree().into_iter().filter(|path| path.ends_with(".rs") && !path.starts_with("tests/"));
    let sources: Vec<String> =
        sources.map(|path| std::fs::read_to_string(root().join(path)).expect("a source")).collect();
    // A literal may go on in the next line.
    let lines = sources.iter().flat_map(|source| source.split("\\\n"));
    let said = lines.enumerate().map(|(at, line)| if at == 0 { line } else { line.trim_start() });
    let said = said.collect::<String>();
    let page = Page::read("docs/troubleshooting.md");
    let rows = page.text.lines().filter(|line| line.starts_with("| "));
    let messages: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .flat_map(|message| message.split("..."))
        .map(str::trim)
        .filter(|message| message.contains(' '))
        .collect();
    assert!(messages.len() > 15, "{messages:?}");
    for message in messages {
        assert!(said.contains(message), "no program says {message:?}");
    }
}

#[test]
fn blocks_say_whether_they_are_run() {
    for page in PAGES.iter().map(|name| Page::read(name)) {
        for block in page.blocks() {
            let at = format!("{}:{}", page.name, block.line);
            let has_command = block.commands().iter().any(|(_, command)| command.contains(PROGRAMS));
            match block.info.as_str() {
                "sh" => {}
                "sh no-run" => assert!(block.text.starts_with("# "), "{at}: the first line says why not"),
                info => assert!(!has_command, "{at}: {info:?} does not say whether it is run"),
            }
        }
    }
}

#[test]
fn commands_that_are_not_run_parse() {
    for page in PAGES.iter().chain(&FOR_DEVELOPERS).map(|name| Page::read(name)) {
        for (line, command) in page.blocks().iter().flat_map(Block::commands) {
            let words = words_of_ours(&command);
            if words.is_empty() {
                continue;
            }
            let at = format!("{}:{line}", page.name);
            match &words[0][PROGRAMS.len()..] {
                "coordinator" if words.get(1).is_some_and(|word| word == "token") => {
                    let flags = TokenFlags::try_parse_from(&words[1..]);
                    let _ = flags.unwrap_or_else(|error| panic!("{at}: {error}"));
                }
                "coordinator" => {
                    let flags = coordinator::cli::Flags::try_parse_from(words);
                    let options = flags.and_then(|flags| flags.options());
                    options.unwrap_or_else(|error| panic!("{at}: {error}"));
                }
                "worker" => {
                    let flags = worker::cli::Flags::try_parse_from(words);
                    let _ = flags.unwrap_or_else(|error| panic!("{at}: {error}")).options();
                }
                "lockstep" => {
                    let flags = lockstep::cli::Flags::try_parse_from(words);
                    let _ = flags.unwrap_or_else(|error| panic!("{at}: {error}"));
                }
                "examples/soak" => {
                    let known = soak_flags();
                    let flags = words.iter().filter(|word| word.starts_with("--"));
                    flags.for_each(|flag| assert!(known.contains(flag), "{at}: the soak has no {flag}"));
                }
                other => panic!("{at}: there is no program {other}"),
            }
        }
    }
}

#[test]
fn flags_in_documents_exist_and_every_flag_is_in_one() {
    let programs = [coordinator::cli::Flags::command(), worker::cli::Flags::command()];
    let using = lockstep::cli::Flags::command();
    let tokens = TokenFlags::command();
    let ours: BTreeSet<String> = programs
        .iter()
        .chain(using.get_subcommands())
        .chain(tokens.get_subcommands())
        .flat_map(|command| command.get_arguments().filter_map(|arg| arg.get_long()).collect::<Vec<_>>())
        .map(|long| format!("--{long}"))
        .collect();
    let mut known = ours.clone();
    known.extend(["--help", "--version"].map(str::to_owned));
    known.extend(soak_flags());
    let mut named = BTreeSet::new();
    for page in PAGES.iter().map(|name| Page::read(name)) {
        let commands = page.blocks().into_iter().flat_map(|block| block.commands());
        let commands = commands.flat_map(|(_, command)| words_of_ours(&command));
        let prose = page.code().into_iter().filter(|code| !code.starts_with("cargo "));
        for code in commands.chain(prose) {
            for flag in code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
                if flag.len() > 2 && flag.starts_with("--") {
                    assert!(known.contains(flag), "{}: there is no {flag} (in `{code}`)", page.name);
                    named.insert(flag.to_owned());
                }
            }
        }
    }
    let forgotten: Vec<_> = ours.difference(&named).collect();
    assert!(forgotten.is_empty(), "no document names {forgotten:?}");
}

#[test]
fn files_in_documents_exist() {
    let tree = tree();
    // A page may leave out the beginning of a path.
    let exists = |path: &str| {
        let end = format!("/{path}");
        tree.iter().any(|known| known == path || known.ends_with(&end))
    };
    for page in PAGES.iter().chain(&FOR_DEVELOPERS).map(|name| Page::read(name)) {
        let is_for_developers = FOR_DEVELOPERS.contains(&page.name.as_str());
        for code in page.code().iter().flat_map(|code| code.split_whitespace()) {
            let is_path = code.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
            let is_file = [".rs", ".md", ".proto", ".py"].iter().any(|end| code.ends_with(end));
            let is_folder = is_for_developers && code.ends_with('/');
            if is_path && (is_file || is_folder) {
                assert!(exists(code), "{}: there is no {code}", page.name);
            }
        }
        let folder = root().join(&page.name);
        let folder = folder.parent().expect("a page lies in a folder");
        for link in page.links().iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { root().join(&page.name) } else { folder.join(file) };
            assert!(path.exists(), "{}: the link to {link} leads nowhere", page.name);
            let name = path.strip_prefix(root()).expect("a page of the repository");
            let anchors = || Page::read(name.to_str().expect("a readable name")).anchors();
            let leads = anchor.is_empty() || anchors().iter().any(|known| known == anchor);
            assert!(leads, "{}: {link} has no such heading", page.name);
        }
    }
}

#[test]
fn tests_types_and_constants_in_documents_exist() {
    let sources = tree().into_iter().filter(|path| [".rs", ".proto"].iter().any(|end| path.ends_with(end)));
    let mut known: BTreeSet<String> = BTreeSet::new();
    for path in sources {
        let text = std::fs::read_to_string(root().join(&path)).expect("a file of the repository");
        known.extend(text.split(|c: char| !is_of_name(c)).map(str::to_owned));
        known.extend(path.split(['/', '.']).map(str::to_owned));
    }
    // A test may be named by the beginning of its name, as cargo takes it.
    let exists = |name: &str| {
        let next = known.range(name.to_owned()..).next();
        next.is_some_and(|next| next.starts_with(name))
    };
    let mut missing = Vec::new();
    for page in FOR_DEVELOPERS.iter().map(|name| Page::read(name)) {
        for code in page.code().iter().filter(|code| !code.starts_with("cargo ")) {
            let names = code.split(|c: char| !is_of_name(c)).filter(|name| is_ours(name) && !exists(name));
            missing.extend(names.map(|name| format!("{}: {name}", page.name)));
        }
    }
    assert!(missing.is_empty(), "there is no\n{}", missing.join("\n"));
}

/// The words of a command from the program of ours on; none if there is no such program in it.
fn words_of_ours(command: &str) -> Vec<String> {
    let all = words(command);
    let start = all.iter().position(|word| word.starts_with(PROGRAMS)).unwrap_or(all.len());
    all[start..].to_vec()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a word looks like a name in Rust: with an underscore, or of several words that begin in upper
/// case.
fn is_ours(word: &str) -> bool {
    let capitals = word.chars().filter(char::is_ascii_uppercase).count();
    let is_type = capitals > 1 && capitals < word.len() && word.starts_with(|c: char| c.is_ascii_uppercase());
    word.trim_matches('_').contains('_') || is_type
}

fn soak_flags() -> BTreeSet<String> {
    let source = std::fs::read_to_string(root().join(SOAK)).expect("the soak's source");
    let fields = source.lines().filter_map(|line| line.trim().split_once(": "));
    fields.map(|(name, _)| format!("--{}", name.replace('_', "-"))).collect()
}

/// Runs the commands of a page in the order of the page.
fn run_commands(page: &Page) {
    let data = SmallData::write();
    let pictures = SmallPictures::write();
    let folder = tempfile::tempdir().expect("a folder");
    let programs = program("coordinator");
    assert!(program("worker").exists(), "the worker lies beside the coordinator");
    assert!(program("lockstep").exists(), "lockstep lies beside the coordinator");
    symlink_in(folder.path(), data.folder().as_ref(), "images");
    if page.text.contains("kaggle:") {
        write_tables(folder.path());
    }
    symlink_in(folder.path(), pictures.path(), "pictures");
    symlink_in(folder.path(), programs.parent().expect("programs lie in a folder"), PROGRAMS);
    let address = own_address(&page.name);
    for block in page.blocks().into_iter().filter(Block::is_run) {
        let at = format!("{}:{}", page.name, block.line);
        let script = script_of(&block).replace(ADDRESS, &address);
        let script = script.replace("--dataset digits", "--dataset images");
        let output = folder.path().join("output");
        let mut shell = Shell::start(&script, folder.path(), &output);
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = shell.0.try_wait().expect("our own child") {
                break Some(status);
            }
            if Instant::now() > deadline {
                break None;
            }
            std::thread::sleep(LOOK);
        };
        drop(shell);
        let said = || String::from_utf8_lossy(&std::fs::read(&output).unwrap_or_default()).into_owned();
        match status {
            Some(status) => assert!(status.success(), "{at}: {status}\n{script}\n{}", said()),
            None => panic!("{at}: it does not end\n{script}\n{}", said()),
        }
        assert!(!said().contains("panicked"), "{at}:\n{}", said());
    }
}

/// Writes the files that the page about data has in CSV and in NumPy's arrays.
fn write_tables(folder: &Path) {
    let train = drawn(Half::Train, TRAIN);
    let test = drawn(Half::Test, TEST);
    let table = folder.join("digit-recognizer");
    std::fs::create_dir(&table).expect("room for a folder");
    std::fs::write(table.join("train.csv"), tables::csv(&train, true)).expect("room for a table");
    let labelled = tables::csv(&test, true);
    let rows = labelled.lines().filter_map(|row| row.split_once(','));
    let unlabelled: String = rows.map(|(_, pixels)| format!("{pixels}\n")).collect();
    std::fs::write(table.join("test.csv"), unlabelled).expect("room for a table");
    std::fs::write(folder.join("mnist_train.csv"), tables::csv(&train, false)).expect("room for a table");
    std::fs::write(folder.join("mnist_test.csv"), tables::csv(&test, false)).expect("room for a table");
    std::fs::write(folder.join("mnist.npz"), tables::npz(&train, &test)).expect("room for arrays");
}

/// The block as a script that ends at the first command that fails, and waits for what it left running.
fn script_of(block: &Block) -> String {
    let mut script = "set -e\npids=\n".to_owned();
    for (_, command) in block.commands() {
        script += &command;
        script += if command.ends_with('&') { "\npids=\"$pids $!\"\n" } else { "\n" };
    }
    script + "for pid in $pids; do wait $pid; done\n"
}

/// An address on loopback that no other page of this or another test run has.
fn own_address(page: &str) -> String {
    let index = PAGES.iter().position(|known| *known == page).expect("a known page") as u32;
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let high = 1 + (u32::from(high) * 16 + index) % 250;
    format!("127.{high}.{middle}.{low}:29400")
}

fn symlink_in(folder: &Path, target: &Path, name: &str) {
    let link: PathBuf = folder.join(name.trim_end_matches('/'));
    std::fs::create_dir_all(link.parent().expect("a folder")).expect("room for a folder");
    symlink(target, link).expect("room for a link");
}

/// A shell with all that it has started; nothing of it outlives the value.
struct Shell(Child);

impl Shell {
    fn start(script: &str, folder: &Path, output: &Path) -> Self {
        let mut command = Command::new("/bin/sh");
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("LOCKSTEP_") || text == "RUST_LOG" || text == "MNIST_DIR" {
                command.env_remove(&variable);
            }
        }
        command.env("LOCKSTEP_DATASET", "images").env("LOCKSTEP_VAL_SPLIT", "43");
        let both = File::create(output).and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = both.expect("room for its words");
        command.args(["-c", script]).current_dir(folder).process_group(0);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        Self(command.spawn().expect("a shell"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // All may have ended already.
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}
