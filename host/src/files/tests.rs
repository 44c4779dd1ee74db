use super::*;
use rustix::fs::{CWD, FileType as Made, Mode, mknodat};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

fn fifo(path: &Path) {
    mknodat(CWD, path, Made::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

fn kind(result: Result<File, FileError>) -> Kind {
    match result {
        Err(FileError::NotRegular(kind)) => kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_regular_file_is_named_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fifo(&at("fifo"));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink(at("fifo"), at("link")).unwrap();
    for open in [|path: &Path| open_regular(path, 9, Links::Refused), open_lock] {
        assert_eq!(kind(open(&at("fifo"))), Kind::Fifo);
        assert_eq!(kind(open(&at("socket"))), Kind::Socket);
        assert_eq!(kind(open(folder.path())), Kind::Directory);
        assert_eq!(kind(open(&at("link"))), Kind::Link);
        assert_eq!(kind(open(Path::new("/dev/null"))), Kind::Device);
    }
    assert_eq!(kind(open_regular(&at("link"), 9, Links::Followed)), Kind::Fifo);
    assert!(open_regular(&at("none"), 9, Links::Refused).unwrap_err().is_missing());
    assert!(open_directory(&at("fifo")).is_err());
}

#[test]
fn a_file_larger_than_expected_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = read_regular(&path, 10, Links::Refused).unwrap_err();
    assert!(matches!(error, FileError::TooLarge { bytes: 0x100_0000_0000, bytes_max: 10 }), "{error}");
    std::fs::write(&path, "0123456789").unwrap();
    assert_eq!(read_regular(&path, 10, Links::Refused).unwrap(), b"0123456789");
}

#[test]
fn what_a_person_names_is_added_to_and_a_fifo_without_reader_refused() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "a").unwrap();
    let (mut file, is_regular) = open_to_append(&at("file")).unwrap();
    file.write_all(b"b").unwrap();
    assert!(is_regular && std::fs::read(at("file")).unwrap() == b"ab");
    fifo(&at("fifo"));
    let error = open_to_append(&at("fifo")).unwrap_err().to_string();
    assert!(error.contains("nobody reads"), "{error}");
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut reader = File::options().read(true).custom_flags(flags).open(at("fifo")).unwrap();
    let (mut writer, is_regular) = open_to_append(&at("fifo")).unwrap();
    writer.write_all(b"c").unwrap();
    let mut got = [0; 1];
    reader.read_exact(&mut got).unwrap();
    assert!(!is_regular && got == *b"c");
    assert!(matches!(open_to_append(folder.path()), Err(FileError::NotRegular(Kind::Directory))));
    assert!(!open_to_append(Path::new("/dev/null")).unwrap().1);
}
