use super::*;
use proptest::prelude::*;

#[test]
fn what_refers_to_itself_or_doubles_is_read_in_a_moment() {
    // A tuple of two of the same, over and over: as deep as the pickle is long, and of 2^n leaves.
    let mut bytes = b")q\x00".to_vec();
    (0..100_000).for_each(|_| bytes.extend(b"h\x00\x86q\x00h\x00"));
    bytes.extend(b".");
    assert_eq!(entries(&bytes), Err(PickleError::NoTensors));
    // A dictionary that holds itself under all keys.
    let mut bytes = b"}q\x00X\x05\x00\x00\x00modelh\x00s.".to_vec();
    assert_eq!(entries(&bytes), Err(PickleError::NoTensors));
    bytes.truncate(9);
    assert_eq!(entries(&bytes), Err(PickleError::Damaged(8)));
    assert_eq!(entries(b"iabc"), Err(PickleError::Code { at: 0, code: b'i' }));
    // A length far beyond the end.
    assert!(matches!(entries(b"X\xff\xff\xff\xffa."), Err(PickleError::Damaged(_))));
    assert!(matches!(entries(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa."), Err(PickleError::Damaged(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = entries(&bytes);
    }

    #[test]
    fn any_instructions_are_done_or_refused(
        codes in proptest::collection::vec(proptest::sample::select(&b"()t}dusbRQ\x81\x85\x86\x870124h\x00q\x00NKX\x01\x00\x00\x00a]ae.\x93\x94"[..]), 0..200)
    ) {
        let _ = entries(&codes);
    }
}
