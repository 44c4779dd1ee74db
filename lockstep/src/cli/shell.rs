//! `lockstep completions` and `lockstep man`: what shells and `man` know about all three programs.

use super::Flags;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use coordinator::cli::tokens::TokenFlags;
use std::path::PathBuf;

/// The programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "names say all")]
pub enum Program {
    Coordinator,
    Worker,
    Lockstep,
}

/// Flags of `lockstep completions`.
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
    /// The program whose flags are completed
    #[arg(value_enum, default_value = "lockstep")]
    pub program: Program,
}

/// Flags of `lockstep man`.
#[derive(Clone, Debug, Args)]
pub struct Man {
    /// Folder for the pages, such as ~/.local/share/man/man1; it is made if it is missing, and older pages
    /// are replaced
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

impl Program {
    /// The program's flags and commands, of which `coordinator token` has a parser of its own.
    fn command(self) -> Command {
        match self {
            Self::Coordinator => {
                let tokens = TokenFlags::command().name("token").bin_name("coordinator token");
                coordinator::cli::Flags::command().name("coordinator").subcommand(tokens)
            }
            Self::Worker => worker::cli::Flags::command().name("worker"),
            Self::Lockstep => Flags::command(),
        }
    }
}

impl Completions {
    pub(super) fn run(&self) -> String {
        let mut command = self.program.command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let folder = self.folder.display();
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| anyhow::anyhow!("can't make the folder {folder}: {error}"))?;
        for program in Program::value_variants() {
            clap_mangen::generate_to(program.command(), &self.folder)
                .map_err(|error| anyhow::anyhow!("can't write manual pages into {folder}: {error}"))?;
        }
        Ok(format!("manual pages of coordinator, worker and lockstep are in {folder}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_every_programs_flags() {
        for &shell in Shell::value_variants() {
            for (program, flag) in [
                (Program::Coordinator, "batch-size"),
                (Program::Coordinator, "uses"),
                (Program::Worker, "idle-exit"),
                (Program::Lockstep, "against"),
            ] {
                let script = Completions { shell, program }.run();
                assert!(script.contains(flag), "{shell} {program:?} {flag}");
            }
        }
    }

    #[test]
    fn each_command_has_a_page_with_its_flags() {
        let folder = tempfile::tempdir().unwrap();
        let man = Man { folder: folder.path().join("man1") };
        assert!(man.run().unwrap().contains("man1"));
        for (page, flag) in [
            ("coordinator.1", "batch\\-size"),
            ("coordinator-token.1", "revoke"),
            ("coordinator-token-new.1", "uses"),
            ("worker.1", "idle\\-exit"),
            ("lockstep-evaluate.1", "against"),
        ] {
            let text = std::fs::read_to_string(man.folder.join(page)).unwrap();
            assert!(text.contains(flag), "{page} {flag}");
        }
    }

    #[test]
    fn a_folder_that_can_not_be_made_is_named() {
        let man = Man { folder: "/dev/null/man1".into() };
        assert!(man.run().unwrap_err().to_string().contains("/dev/null/man1"));
    }
}
