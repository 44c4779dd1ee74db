//! The recipes in `recipes/`: files of flags, each with one SHA-256 whatever the number of workers, and after
//! a stop. Here they train for a few steps on small data.

use coordinator::run::Summary;
use std::path::Path;
use tests::cluster::train;
use tests::documents::root;
use tests::small_data::SmallData;

/// Settings that the small data can't have, or that would take long.
const OTHERWISE: [(&str, &str); 2] = [("val-split", "20"), ("per-class", "4")];
/// Steps that each recipe is trained for: the whole first epoch and part of the second.
const STEPS: &str = "7";

/// Names of the recipes, but for those of a search.
fn recipes() -> Vec<String> {
    let files = std::fs::read_dir(root().join("recipes")).expect("a folder of recipes");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a readable name"));
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with(".toml") && name != "sweep.toml").collect();
    names.sort();
    names
}

/// The flags of a recipe for the small data: `key = value` in each line that is no comment.
fn flags_of(recipe: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("recipes").join(recipe)).expect("a recipe");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pairs = lines.map(|line| line.split_once(" = ").expect("a key and a value"));
    let mut flags = vec!["--batch-size=16".to_owned(), "--micro-batch=5".to_owned()];
    let own = ["dataset", "epochs", "init-from", "batch-size", "micro-batch"];
    for (key, value) in pairs.filter(|(key, _)| !own.contains(key)) {
        let other = OTHERWISE.iter().find(|(name, _)| *name == key);
        match value {
            "true" => flags.push(format!("--{key}")),
            _ => flags.push(format!("--{key}={}", other.map_or(value.trim_matches('"'), |(_, value)| value))),
        }
    }
    flags
}

fn run(data: &SmallData, folder: &Path, recipe: &[String], steps: &str, threads: &[u32]) -> Summary {
    let place = ["--dataset", data.folder(), "--checkpoint-dir", folder.to_str().expect("a name")];
    let recipe: Vec<&str> = recipe.iter().map(String::as_str).collect();
    train(&[&place[..], &recipe, &["--epochs", "4", "--max-steps", steps]].concat(), threads)
}

#[test]
fn each_recipe_has_the_same_bits_for_any_number_of_workers_and_after_a_stop() {
    let data = SmallData::of(100, 20);
    let names = recipes();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let recipe = flags_of(&name);
        let folders = [(); 4].map(|()| tempfile::tempdir().expect("a folder"));
        let [alone, two, three, stopped] = folders.each_ref().map(|folder| folder.path());
        let manifest =
            |summary: &Summary| std::fs::read(summary.checkpoint.join("manifest.json")).expect("a manifest");
        let expected = manifest(&run(&data, alone, &recipe, STEPS, &[1]));
        assert!(manifest(&run(&data, two, &recipe, STEPS, &[1, 1])) == expected, "{name}, two workers");
        assert!(
            manifest(&run(&data, three, &recipe, STEPS, &[1, 1, 1])) == expected,
            "{name}, three workers"
        );
        run(&data, stopped, &recipe, "3", &[1]);
        assert!(manifest(&run(&data, stopped, &recipe, STEPS, &[2])) == expected, "{name}, stopped");
    }
}
