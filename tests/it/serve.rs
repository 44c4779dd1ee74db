//! `lockstep serve` answers as `lockstep predict` does, whatever others send it at the same time.

use common::data::digits::{Half, draw};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};
use nix::sys::signal::Signal;
use serde_json::{Map, Value};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use tests::cluster::train;
use tests::http::{Heard, ask, connect, head, hear, send};
use tests::process::Process;
use tests::small_data::SmallData;
use tests::small_pictures::SmallPictures;

/// What a server with a small model may have in memory at most, in kB: bodies of 128 MiB, a large picture and
/// twelve small ones, each a few times.
const MEMORY_MAX: u64 = 1 << 20;
/// Sides of a picture with almost as many pixels as are decoded.
const BOMB_SIDE: u32 = 5_700;

/// A server that is stopped with the value.
struct Server {
    process: Process,
    address: String,
}

impl Server {
    fn start(model: &Path) -> Self {
        let args = ["serve", "--checkpoint", text(model), "--http", "127.0.0.1:0", "--threads", "2"];
        let mut process = Process::start("lockstep", &args);
        let line = process.wait_for_line("listening on http://");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(';').next());
        let address = address.expect("an address").to_owned();
        Self { process, address }
    }

    fn post(&self, path: &str, body: &[u8]) -> Heard {
        ask(&self.address, "POST", path, body)
    }

    fn get(&self, path: &str) -> Heard {
        ask(&self.address, "GET", path, &[])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

/// Some of the embedded digits in a row, dark on light paper, four times as large.
fn write(folder: &Path, name: &str, digits: &[u32]) -> PathBuf {
    let mut picture = GrayImage::from_pixel(400, 200, image::Luma([230]));
    for (&digit, left) in digits.iter().zip([40, 150, 260]) {
        let (pixels, _) = draw(Half::Test, digit);
        for (x, y) in (0..112).flat_map(|x| (0..112).map(move |y| (x, y))) {
            let ink = u32::from(pixels[y / 4 * 28 + x / 4]) * 160 / 255;
            picture.get_pixel_mut((left + x) as u32, (40 + y) as u32).0[0] -= ink as u8;
        }
    }
    let path = folder.join(name);
    picture.save(&path).expect("room for a picture");
    path
}

/// A model of digits, in `folder`.
fn digits(folder: &Path) -> PathBuf {
    let data = SmallData::write();
    let model = folder.join("model");
    let flags = ["--model", "conv(4,5,stride=2) relu flatten dense", "--epochs", "4"];
    let more = ["--dataset", data.folder(), "--checkpoint-dir", text(&model)];
    let _ = train(&[&flags[..], &more].concat(), &[1]);
    model
}

/// What `lockstep predict --json` says of a picture, without the file's name.
fn predicted(model: &Path, picture: &Path, more: &[&str]) -> Map<String, Value> {
    let args = [&["predict", "--checkpoint", text(model), "--json", text(picture)], more].concat();
    let outcome = Process::start("lockstep", &args).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let mut said: Map<String, Value> = serde_json::from_str(&outcome.output).expect("an object");
    said.remove("file").expect("the file's name");
    said
}

/// Every field of `said` is in `heard`, with the same bits; the digits of a row each in turn.
#[track_caller]
fn assert_says(heard: &Value, said: &Map<String, Value>) {
    for (name, value) in said {
        let own = &heard[name];
        if let Some(digits) = value.as_array() {
            let heard = own.as_array().expect("digits");
            assert_eq!(heard.len(), digits.len());
            for (heard, digit) in heard.iter().zip(digits) {
                assert_says(heard, digit.as_object().expect("a digit"));
            }
        } else {
            assert_eq!(own, value, "{name}: {heard}");
        }
    }
}

#[test]
fn pictures_by_post_have_the_bits_of_predict() {
    let folder = tempfile::tempdir().unwrap();
    let model = digits(folder.path());
    let server = Server::start(&model);
    let pictures: Vec<PathBuf> = (0..12)
        .map(|digit| write(folder.path(), &format!("{digit}.png"), &[digit]))
        .chain([write(folder.path(), "empty.png", &[])])
        .collect();
    // All at once, so that they are computed together.
    let heard: Vec<Heard> = std::thread::scope(|scope| {
        let posts = pictures.iter().map(|path| {
            let (server, bytes) = (&server, std::fs::read(path).unwrap());
            scope.spawn(move || server.post("/predict", &bytes))
        });
        posts.collect::<Vec<_>>().into_iter().map(|post| post.join().unwrap()).collect()
    });
    for (path, heard) in pictures.iter().zip(&heard) {
        assert_eq!(heard.status, 200, "{heard:?}");
        let json = heard.json();
        assert_says(&json, &predicted(&model, path, &[]));
        let is_empty = path.ends_with("empty.png");
        assert_eq!(json["probabilities"].as_array().unwrap().len(), if is_empty { 0 } else { 10 });
        let saw = json["input"].as_str().unwrap_or_default();
        assert_eq!(saw.starts_with("data:image/png;base64,"), !is_empty, "{json}");
    }
    let row = write(folder.path(), "row.png", &[0, 1, 2]);
    let heard = server.post("/predict?line", &std::fs::read(&row).unwrap());
    assert_eq!(heard.status, 200, "{heard:?}");
    assert_says(&heard.json(), &predicted(&model, &row, &["--line"]));

    // Larger than what is read beside small ones, in each format.
    for format in ["png", "jpg", "webp", "bmp"] {
        let large = folder.path().join(format!("large.{format}"));
        let picture = image::open(&pictures[0]).unwrap().to_rgb8();
        image::imageops::resize(&picture, 1500, 750, image::imageops::Nearest).save(&large).unwrap();
        let heard = server.post("/predict", &std::fs::read(&large).unwrap());
        assert_eq!(heard.status, 200, "{format}: {heard:?}");
        assert_says(&heard.json(), &predicted(&model, &large, &[]));
    }

    let metrics = server.get("/metrics").body;
    for line in [
        "lockstep_serve_requests_total{path=\"/predict\",status=\"200\"} 18",
        "lockstep_serve_pictures_total{kind=\"one\"} 17",
        "lockstep_serve_pictures_total{kind=\"row\"} 1",
        "lockstep_serve_waiting{for=\"small\"} 0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is not in:\n{metrics}");
    }
}

#[test]
fn models_of_other_inputs_see_the_middle_of_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let data = SmallPictures::write();
    let model = folder.path().join("model");
    let flags = ["--model", "conv(3,3) relu flatten dense", "--image-size", "8x9", "--max-steps", "0"];
    let more = ["--dataset", data.folder(), "--checkpoint-dir", text(&model)];
    let _ = train(&[&flags[..], &more].concat(), &[1]);
    let server = Server::start(&model);
    let picture = folder.path().join("colours.png");
    let colours = RgbImage::from_fn(90, 40, |x, y| image::Rgb([(2 * x) as u8, (5 * y) as u8, 77]));
    colours.save(&picture).unwrap();
    let bytes = std::fs::read(&picture).unwrap();
    let heard = server.post("/predict", &bytes);
    assert_eq!(heard.status, 200, "{heard:?}");
    assert_says(&heard.json(), &predicted(&model, &picture, &[]));
    let about = server.get("/model").json();
    assert_eq!((about["width"].as_u64(), about["reads_digits"].as_bool()), (Some(9), Some(false)));
    let heard = server.post("/predict?line", &bytes);
    assert_eq!(heard.status, 400);
    assert!(heard.json()["error"].as_str().unwrap().contains("leave it out"), "{heard:?}");
}

#[test]
fn what_is_no_request_is_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let model = digits(folder.path());
    let server = Server::start(&model);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-security-policy: default-src 'none'; script-src 'sha256-"));
    assert!(page.body.contains("</html>"));
    assert_eq!((server.get("/healthz").status, server.get("/healthz").body.as_str()), (200, "ok\n"));
    let damaged = b"\x89PNG\r\n\x1a\n...";
    let large = png(BOMB_SIDE + 200);
    for (method, path, body, status, words) in [
        ("POST", "/predict", &b""[..], 400, "as the body"),
        ("POST", "/predict", b"GIF89a", 400, "PNG, JPEG, WebP or BMP"),
        ("POST", "/predict", damaged, 400, "damaged"),
        ("POST", "/predict", &large, 413, "send a smaller one"),
        ("POST", "/predict?size=9", b"", 400, "?line"),
        ("GET", "/predict", b"", 405, "POST /predict"),
        ("GET", "/secrets", b"", 404, "nothing here"),
    ] {
        let heard = ask(&server.address, method, path, body);
        assert_eq!(heard.status, status, "{path}: {heard:?}");
        let json = heard.json();
        assert!(json["error"].as_str().unwrap().contains(words), "{path}: {heard:?}");
    }
    // Who waits to be asked for his body is refused without it.
    let mut stream = connect(&server.address);
    let head = String::from_utf8(head("POST", "/predict", 1 << 30)).unwrap();
    send(&mut stream, head.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n").as_bytes());
    assert_eq!(hear(stream).status, 413);

    let taken = ["serve", "--checkpoint", text(&model), "--http", &server.address];
    let outcome = Process::start("lockstep", &taken).wait();
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.errors.contains("can't listen on") && outcome.errors.contains("--http"),
        "{}",
        outcome.errors
    );
}

/// A picture of one colour: few bytes and many pixels.
fn png(side: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::new(side, side).write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

/// A small picture with a colour profile of 96 MiB.
fn profile() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(vec![0; 96 << 20]).expect("a profile");
    encoder.write_image(&[200; 32 * 32], 32, 32, ExtendedColorType::L8).expect("a picture");
    bytes
}

#[test]
fn hostile_senders_hold_up_nobody_and_fill_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let model = digits(folder.path());
    let server = Server::start(&model);
    let path = write(folder.path(), "one.png", &[0]);
    let expected = predicted(&model, &path, &[]);
    let (good, bomb, profile) = (std::fs::read(&path).unwrap(), png(BOMB_SIDE), profile());
    let (huge, noise) = (vec![7; 17 << 20], (0..50_000u32).map(|i| ((i * i) >> 5) as u8).collect::<Vec<_>>());

    // Halves of bodies and heads, which stay open.
    let halves: Vec<TcpStream> = (0..60)
        .map(|number| {
            let mut stream = connect(&server.address);
            let head = head("POST", "/predict", 1 << 20);
            send(&mut stream, if number % 2 == 0 { &head } else { &head[..head.len() / 2] });
            send(&mut stream, if number % 2 == 0 { &good } else { b"" });
            stream
        })
        .collect();
    std::thread::scope(|scope| {
        let server = &server;
        let post = |body: &'static str, bytes| scope.spawn(move || (body, server.post("/predict", bytes)));
        let mut posts = Vec::new();
        for _ in 0..35 {
            posts.extend([post("huge", &huge), post("bomb", &bomb), post("profile", &profile)]);
            posts.extend([post("noise", &noise), post("good", &good)]);
        }
        for (body, heard) in posts.into_iter().map(|post| post.join().unwrap()) {
            match body {
                "good" => {
                    assert_eq!(heard.status, 200, "{heard:?}");
                    assert_says(&heard.json(), &expected);
                }
                "noise" => assert_eq!(heard.status, 400, "{heard:?}"),
                // Its sender may have been cut off while it sent.
                "huge" => assert!([413, 503, 0].contains(&heard.status), "{heard:?}"),
                _ => assert!([200, 503].contains(&heard.status), "{heard:?}"),
            }
        }
    });
    // The server gives halves up by itself.
    for (number, half) in halves.into_iter().enumerate() {
        assert_eq!(hear(half).status, if number % 2 == 0 { 408 } else { 0 });
    }
    assert_eq!(server.post("/predict", &good).status, 200);
    let most = server.process.status("VmHWM");
    assert!(most < MEMORY_MAX, "{most} kB");

    // One that is idle, and one within its head, do not hold up the end.
    let mut idle = connect(&server.address);
    send(&mut idle, b"GET /healthz HT");
    server.process.signal(Signal::SIGTERM);
    let outcome = server.process.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
    host::report(&format!("the server took {most} kB at most"));
}
