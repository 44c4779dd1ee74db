//! Writes the seed corpus of every target: `corpus/TARGET/seed-N` beside this package's manifest.

use lockstep_fuzz::hostile::{ENTRY_POINTS, seeds};
use std::path::Path;

fn main() -> std::io::Result<()> {
    for (name, _) in ENTRY_POINTS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds(name).into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
