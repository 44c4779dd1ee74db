use super::super::named::ALL;
use super::super::parts::{self, PARTS};
use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use server::{Reply, Server};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::time::{Instant, SystemTime};

pub(crate) mod server;

/// Deadline of transfers that succeed: so long that even a busy machine meets it.
pub(crate) const PATIENT: Limits = Limits {
    answer: Duration::from_secs(20),
    stall: Duration::from_secs(20),
    transfer: Duration::from_secs(60),
    pause: Duration::from_millis(1),
    bytes_max: 1 << 20,
};
/// Deadline of transfers that never end.
const SHORT: Duration = Duration::from_millis(100);
/// A file of labels.
const PART: Part = PARTS[1];
const FILE: &str = "train-labels-idx1-ubyte.gz";

pub(crate) fn mirrors(servers: &[&Server], limits: Limits) -> Mirrors {
    Mirrors::new(servers.iter().map(|server| server.base()), limits, None, None)
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Names in the folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// 1000 labels, all of them 7, each a byte.
fn labels() -> Vec<u8> {
    [vec![0, 0, 8, 1, 0, 0, 3, 232], vec![7; 1000]].concat()
}

fn good() -> Reply {
    Reply::Whole(gzip(&labels()))
}

/// Accepts a file with the labels of these tests.
fn check(path: &Path) -> Result<Vec<u8>, DatasetError> {
    let content = parts::read(path, PART.kind)?;
    if content == labels() {
        return Ok(content);
    }
    Err(DatasetError::Empty(path.to_owned()))
}

/// The error of each mirror's last attempt.
fn refused(result: Result<Content, DownloadError>) -> Vec<FetchError> {
    match result.unwrap_err() {
        DownloadError::Refused { file, tried } => {
            assert_eq!(file, FILE);
            tried.into_iter().map(|(_, error)| error).collect()
        }
        error @ DownloadError::Disk { .. } => panic!("{error}"),
    }
}

#[test]
fn a_good_file_is_placed_under_its_name_and_nothing_else_is_left() {
    let server = Server::start(|_| good());
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("made/on/the/way");
    let (path, content) = mirrors(&[&server], PATIENT).fetch(&folder, PART, check).unwrap();
    assert_eq!((path.clone(), content), (folder.join(FILE), labels()));
    assert_eq!(fs::read(path).unwrap(), gzip(&labels()));
    assert_eq!(names(&folder), [FILE]);
    assert_eq!(server.requests(), [format!("HEAD {FILE}"), format!("GET {FILE}")]);
}

#[test]
fn a_placed_file_has_the_mode_of_any_new_file() {
    let server = Server::start(|_| good());
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = mirrors(&[&server], PATIENT).fetch(folder.path(), PART, check).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
}

#[test]
fn wrong_content_is_not_placed_and_not_asked_for_again() {
    let wrong = [
        gzip(&[labels(), vec![7]].concat()),
        gzip(&labels().iter().map(|byte| byte & !4).collect::<Vec<u8>>()),
        b"<html>Please log in".to_vec(),
        vec![],
    ];
    for bytes in wrong {
        let sent = bytes.len() as u64;
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(move |_| Reply::Whole(bytes.clone()));
        let tried = refused(mirrors(&[&server], PATIENT).fetch(folder.path(), PART, check));
        assert!(
            matches!(tried[..], [FetchError::Foreign { bytes, .. }] if bytes == sent),
            "{sent} bytes: {tried:?}"
        );
        assert!(names(folder.path()).is_empty());
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn what_one_mirror_lacks_or_has_wrong_comes_from_the_next() {
    let lacking = Server::start(|_| Reply::Status(404));
    let wrong = Server::start(|_| Reply::Whole(vec![1]));
    let server = Server::start(|_| good());
    let folder = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(&[&lacking, &wrong, &server], PATIENT);
    assert_eq!(mirrors.fetch(folder.path(), PART, check).unwrap().1, labels());
    assert_eq!([&lacking, &wrong, &server].map(|server| server.requests().len()), [2, 2, 2]);
}

#[test]
fn a_cut_transfer_is_tried_again() {
    let mut replies = [Reply::Cut(gzip(&labels())), Reply::Status(503), good()].into_iter();
    let server = Server::start(move |_| replies.next().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (_, content) = mirrors(&[&server], PATIENT).fetch(folder.path(), PART, check).unwrap();
    assert_eq!(content, labels());
    assert_eq!(names(folder.path()), [FILE]);
}

#[test]
fn tries_are_bounded_and_the_error_tells_of_each_mirror_on_one_line() {
    let cutting = Server::start(|_| Reply::Cut(gzip(&labels())));
    let lacking = Server::start(|_| Reply::Status(404));
    let folder = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(&[&cutting, &lacking], PATIENT);
    let error = mirrors.fetch(folder.path(), PART, check).unwrap_err().to_string();
    let (first, second) = error.split_once("; ").unwrap();
    let half = gzip(&labels()).len() / 2;
    let expected = format!("{FILE}: {} broke off after {half} bytes (", cutting.base());
    assert!(first.starts_with(&expected) && !first.contains('\n'), "{first}");
    assert_eq!(second, format!("{} answered with HTTP status 404", lacking.base()));
    assert_eq!((cutting.requests().len(), lacking.requests().len()), (1 + ROUNDS, 2));
}

#[test]
fn a_silent_mirror_fails_at_its_deadline_and_is_not_asked_again() {
    let silent = Server::silent();
    let server = Server::start(|_| good());
    let folder = tempfile::tempdir().unwrap();
    let mut alone = mirrors(&[&silent], Limits { answer: SHORT, ..PATIENT });
    let began = Instant::now();
    let tried = refused(alone.fetch(folder.path(), PART, check));
    assert!(matches!(&tried[..], [FetchError::Silent(why)] if why.kind() == io::ErrorKind::TimedOut));
    assert!(began.elapsed() < PATIENT.stall);
    assert!(matches!(refused(alone.fetch(folder.path(), PART, check))[..], [FetchError::NotAsked]));
    assert_eq!(silent.requests().len(), 1);
    // A deadline that the good mirror meets even on a busy machine.
    let mut both = mirrors(&[&silent, &server], Limits { answer: Duration::from_secs(2), ..PATIENT });
    for _ in 0..2 {
        both.fetch(folder.path(), PART, check).unwrap();
    }
    assert_eq!((silent.requests().len(), server.requests().len()), (2, 3));
}

#[test]
fn a_mirror_that_cannot_be_reached_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens on port 0.
    let nobody = ["http://127.0.0.1:0/".to_owned()];
    let tried = refused(Mirrors::new(nobody, PATIENT, None, None).fetch(folder.path(), PART, check));
    assert!(
        matches!(&tried[..], [FetchError::Silent(why)] if why.kind() == io::ErrorKind::ConnectionRefused)
    );
}

#[test]
fn all_public_mirrors_together_are_silent_for_less_than_5_seconds() {
    for named in ALL {
        assert!(named.mirrors().len() as u32 * Limits::PUBLIC.answer < Duration::from_secs(5));
    }
}

#[test]
fn a_stalled_transfer_fails_at_its_deadline() {
    let server = Server::start(|_| Reply::Stalled(gzip(&labels())));
    let folder = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(&[&server], Limits { stall: SHORT, ..PATIENT });
    let began = Instant::now();
    let tried = refused(mirrors.fetch(folder.path(), PART, check));
    assert!(matches!(tried[..], [FetchError::BrokeOff { .. }]), "{tried:?}");
    assert!(began.elapsed() < PATIENT.stall);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_slow_transfer_may_take_longer_than_a_stall() {
    let stall = Duration::from_secs(2);
    let server = Server::start(move |_| Reply::Slow(gzip(&labels()), stall / 4));
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    mirrors(&[&server], Limits { stall, ..PATIENT }).fetch(folder.path(), PART, check).unwrap();
    assert!(began.elapsed() > stall);
}

#[test]
fn a_transfer_kept_alive_byte_by_byte_ends_at_its_deadline() {
    let server = Server::start(|_| Reply::Slow(gzip(&labels()), SHORT));
    let folder = tempfile::tempdir().unwrap();
    let mut mirrors = mirrors(&[&server], Limits { transfer: SHORT * 2, ..PATIENT });
    let error = mirrors.fetch(folder.path(), PART, check).unwrap_err().to_string();
    assert!(error.ends_with("(nothing came within 200ms)"), "{error}");
}

#[test]
fn an_endless_file_is_refused_at_the_cap() {
    let server = Server::start(|_| Reply::Endless);
    let folder = tempfile::tempdir().unwrap();
    let tried = refused(mirrors(&[&server], PATIENT).fetch(folder.path(), PART, check));
    assert!(matches!(tried[..], [FetchError::TooLong(bytes)] if bytes == PATIENT.bytes_max), "{tried:?}");
    assert!(names(folder.path()).is_empty());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn two_downloads_at_once_leave_one_whole_file() {
    let server = Server::start(|_| good());
    let folder = tempfile::tempdir().unwrap();
    // Each process has written its own bytes before either file is placed.
    let meet = Barrier::new(2);
    let download = || {
        let meeting = |path: &Path| {
            meet.wait();
            check(path)
        };
        mirrors(&[&server], PATIENT).fetch(folder.path(), PART, meeting).unwrap()
    };
    let results = thread::scope(|scope| {
        [scope.spawn(download), scope.spawn(download)].map(|thread| thread.join().unwrap())
    });
    assert_eq!(results, [(folder.path().join(FILE), labels()), (folder.path().join(FILE), labels())]);
    assert_eq!(names(folder.path()), [FILE]);
    assert_eq!(check(&folder.path().join(FILE)).unwrap(), labels());
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the age of a file is measured by the wall clock")]
fn what_a_killed_download_left_is_removed_but_no_others_files() {
    let server = Server::start(|_| good());
    let folder = tempfile::tempdir().unwrap();
    let ages = [(".download-dead", 2), (".download-live", 0), ("notes", 2)];
    for (name, hours) in ages {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
    }
    mirrors(&[&server], PATIENT).fetch(folder.path(), PART, check).unwrap();
    assert_eq!(names(folder.path()), [".download-live", "notes", FILE]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named_and_nobody_is_asked() {
    let server = Server::start(|_| good());
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("file");
    fs::write(&folder, "").unwrap();
    let error = mirrors(&[&server], PATIENT).fetch(&folder, PART, check).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot keep files in {}: ", folder.display())));
    assert!(server.requests().is_empty());
}
