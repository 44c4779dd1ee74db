//! `lockstep predict` reads pictures, tells those that it can't read by name, and goes on.

use common::data::digits::{Half, draw};
use image::GrayImage;
use std::path::{Path, PathBuf};
use tests::cluster::train;
use tests::process::{Outcome, Process};
use tests::small_data::SmallData;

/// Places of three test digits on a picture of 400 x 200, and the width and height of each.
const PLACES: [usize; 3] = [40, 150, 260];
const SIDE: usize = 112;

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

/// Some of the embedded digits, dark on light paper, four times as large.
fn write(folder: &Path, name: &str, digits: &[u32]) -> (PathBuf, String) {
    let mut picture = GrayImage::from_fn(400, 200, |x, _| image::Luma([230 - (x / 10) as u8]));
    let mut label = String::new();
    for (&digit, left) in digits.iter().zip(PLACES) {
        let (pixels, class) = draw(Half::Test, digit);
        label += &class.to_string();
        for (x, y) in (0..SIDE).flat_map(|x| (0..SIDE).map(move |y| (x, y))) {
            let ink = u32::from(pixels[y / 4 * 28 + x / 4]) * 160 / 255;
            let pixel = picture.get_pixel_mut((left + x) as u32, (40 + y) as u32);
            pixel.0[0] -= ink as u8;
        }
    }
    let path = folder.join(name);
    picture.save(&path).expect("room for a picture");
    (path, label)
}

fn predict(args: &[&str]) -> Outcome {
    Process::start("lockstep", &[&["predict"], args].concat()).wait()
}

#[test]
fn pictures_are_read_and_damaged_ones_are_named() {
    let data = SmallData::write();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = at("model");
    let flags = ["--model", "mlp", "--epochs", "8", "--dataset", data.folder()];
    let _ = train(&[&flags[..], &["--checkpoint-dir", text(&model)]].concat(), &[1]);
    let (one, label) = write(folder.path(), "one.png", &[0]);
    let (row, digits) = write(folder.path(), "row.png", &[0, 1, 2]);
    let (empty, _) = write(folder.path(), "empty.png", &[]);
    std::fs::write(at("damaged.png"), b"\x89PNG\r\n\x1a\n...").unwrap();
    let checkpoint = ["--checkpoint", text(&model)];

    let damaged = at("damaged.png");
    let outcome = predict(&[&checkpoint[..], &["--json", text(&damaged), text(&one), text(&empty)]].concat());
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("damaged.png is damaged"), "{}", outcome.errors);
    assert!(outcome.errors.contains("1 of 3 pictures can't be read"), "{}", outcome.errors);
    let lines: Vec<serde_json::Value> =
        outcome.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0]["class"].as_str()), (2, Some(label.as_str())), "{lines:?}");
    assert_eq!((&lines[1]["not_a_digit"], lines[1]["class"].is_null()), (&"empty".into(), true));

    let outcome = predict(&[&checkpoint[..], &["--line", text(&row)]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.output.contains(&digits), "{digits}: {}", outcome.output);
    let outcome = predict(&[&checkpoint[..], &["--show", text(&one)]].concat());
    assert!(outcome.output.contains('█'), "{}", outcome.output);
    let outcome = predict(&[&checkpoint[..], &["--csv", text(&one)]].concat());
    assert!(outcome.output.starts_with("file,class,probability,"), "{}", outcome.output);
}
