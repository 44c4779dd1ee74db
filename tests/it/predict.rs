//! `lockstep predict` reads pictures, tells those that it can't read by name, and goes on.

use common::data::digits::{Half, draw};
use image::GrayImage;
use std::path::{Path, PathBuf};
use tests::cluster::train;
use tests::process::{Outcome, Process};
use tests::small_data::SmallData;

/// Places of three test digits on a picture 400 wide, and the width and height of each.
const PLACES: [usize; 3] = [40, 150, 260];
const SIDE: usize = 112;
/// Height of a row of them.
const ROW: usize = 160;

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

/// Rows of the embedded digits, dark on light paper, four times as large, and their classes.
fn write(folder: &Path, name: &str, rows: &[&[u32]]) -> (PathBuf, Vec<String>) {
    let height = (ROW * rows.len() + 40) as u32;
    let mut picture = GrayImage::from_fn(400, height, |x, _| image::Luma([230 - (x / 10) as u8]));
    let mut labels = Vec::new();
    for (row, digits) in rows.iter().enumerate() {
        let mut label = String::new();
        for (&digit, left) in digits.iter().zip(PLACES) {
            let (pixels, class) = draw(Half::Test, digit);
            label += &class.to_string();
            for (x, y) in (0..SIDE).flat_map(|x| (0..SIDE).map(move |y| (x, y))) {
                let ink = u32::from(pixels[y / 4 * 28 + x / 4]) * 160 / 255;
                let pixel = picture.get_pixel_mut((left + x) as u32, (40 + ROW * row + y) as u32);
                pixel.0[0] -= ink as u8;
            }
        }
        labels.push(label);
    }
    let path = folder.join(name);
    picture.save(&path).expect("room for a picture");
    (path, labels)
}

/// A model of the embedded digits that learned for a few seconds.
fn model(folder: &Path) -> String {
    let data = SmallData::write();
    let model = text(&folder.join("model")).to_owned();
    let flags = ["--model", "mlp", "--epochs", "8", "--dataset", data.folder()];
    let _ = train(&[&flags[..], &["--checkpoint-dir", &model]].concat(), &[1]);
    model
}

fn predict(args: &[&str]) -> Outcome {
    Process::start("lockstep", &[&["predict"], args].concat()).wait()
}

#[test]
fn pictures_are_read_and_damaged_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = model(folder.path());
    let (one, label) = write(folder.path(), "one.png", &[&[0]]);
    let (row, digits) = write(folder.path(), "row.png", &[&[0, 1, 2]]);
    let (empty, _) = write(folder.path(), "empty.png", &[&[]]);
    std::fs::write(at("damaged.png"), b"\x89PNG\r\n\x1a\n...").unwrap();
    let checkpoint = ["--checkpoint", &model];

    let damaged = at("damaged.png");
    let outcome = predict(&[&checkpoint[..], &["--json", text(&damaged), text(&one), text(&empty)]].concat());
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("damaged.png is damaged"), "{}", outcome.errors);
    assert!(outcome.errors.contains("1 of 3 pictures can't be read"), "{}", outcome.errors);
    let lines: Vec<serde_json::Value> =
        outcome.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0]["class"].as_str()), (2, Some(label[0].as_str())), "{lines:?}");
    assert_eq!((&lines[1]["not_a_digit"], lines[1]["class"].is_null()), (&"empty".into(), true));

    let outcome = predict(&[&checkpoint[..], &["--line", text(&row)]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.output.contains(&digits[0]), "{digits:?}: {}", outcome.output);
    let outcome = predict(&[&checkpoint[..], &["--show", text(&one)]].concat());
    assert!(outcome.output.contains('█'), "{}", outcome.output);
    let outcome = predict(&[&checkpoint[..], &["--csv", text(&one)]].concat());
    assert!(outcome.output.starts_with("file,class,probability,"), "{}", outcome.output);
}

#[test]
fn a_page_is_read_row_by_row_and_its_boxes_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let rows: Vec<Vec<u32>> = (0..6).map(|row| vec![3 * row, 3 * row + 1, 3 * row + 2]).collect();
    let (page, labels) =
        write(folder.path(), "page.png", &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let boxes = folder.path().join("boxes.png");
    let flags = ["--checkpoint", &model, "--page", "--boxes", text(&boxes), text(&page)];
    let outcome = predict(&[&flags[..], &["--json"]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let answer: serde_json::Value = serde_json::from_str(&outcome.output).unwrap();
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "{answer}");
    let mut right = 0;
    for (at, (row, label)) in rows.iter().zip(&labels).enumerate() {
        let digits = row["digits"].as_array().unwrap();
        assert_eq!(digits.len(), 3, "row {at} of {labels:?}: {answer}");
        for (place, digit) in PLACES.iter().zip(digits) {
            let number = |name: &str| digit["box"][name].as_u64().unwrap() as usize;
            let [x, y, width, height] = ["x", "y", "width", "height"].map(number);
            let top = 40 + ROW * at;
            assert!(*place <= x && x + width <= place + SIDE && height > SIDE / 2, "{digit}");
            assert!(top <= y && y + height <= top + SIDE, "{digit}");
        }
        let said = row["text"].as_str().unwrap();
        right += said.bytes().zip(label.bytes()).filter(|(said, label)| said == label).count();
    }
    // What the model itself takes for another digit is not the page's fault.
    assert!(right >= 15, "{labels:?}: {answer}");

    let (copy, original) = (image::open(&boxes).unwrap().to_rgb8(), image::open(&page).unwrap().to_rgb8());
    assert_eq!(copy.dimensions(), original.dimensions());
    let drawn = copy.pixels().zip(original.pixels()).filter(|(copy, original)| copy != original).count();
    assert!((18 * 200..copy.pixels().len() / 4).contains(&drawn), "{drawn} pixels");
    let outcome = predict(&flags);
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("boxes.png is there already"), "{}", outcome.errors);
    assert_eq!(outcome.output.lines().count(), 6, "{}", outcome.output);
    assert!(outcome.output.contains("page.png, row 6: "), "{}", outcome.output);
}

#[test]
fn a_submission_has_an_answer_for_each_row_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let digits: Vec<(Vec<u8>, u8)> =
        (0..20).map(|digit| draw(Half::Test, digit)).map(|(p, c)| (p.to_vec(), c)).collect();
    let pixels = |image: &[u8]| image.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    let header = (0..784).map(|pixel| format!("pixel{pixel}")).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = digits.iter().map(|(image, _)| pixels(image)).collect();
    let [table, output] = ["test.csv", "submission.csv"].map(|name| folder.path().join(name));
    std::fs::write(&table, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    let flags = ["submit", "--checkpoint", &model, "--kaggle", text(&table), "--output", text(&output)];
    for _ in 0..2 {
        let outcome = Process::start("lockstep", &flags).wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    }
    let said = std::fs::read_to_string(&output).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines.len()), ("ImageId,Label", 21), "{said}");
    let right =
        (1..).zip(&digits).filter(|(number, (_, class))| lines[*number] == format!("{number},{class}"));
    assert!(right.count() >= 16, "{said}");

    let (_, rest) = rows[1].split_once(',').unwrap();
    std::fs::write(&table, format!("{header}\n{}\nx,{rest}\n", rows[0])).unwrap();
    let outcome = Process::start("lockstep", &flags).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("test.csv, line 3, column 1: the pixel is \"x\""), "{}", outcome.errors);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), said);
}
