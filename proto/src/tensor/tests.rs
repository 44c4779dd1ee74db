use super::*;
use std::sync::{Arc, Mutex};

const CHUNK_BYTES: usize = 4 * CHUNK_VALUES;
const PLACED_BYTES: usize = 4 * PLACED_VALUES;

fn chunks(values: &[f32]) -> Vec<Chunk> {
    values.chunks(CHUNK_VALUES).map(|values| chunk(values, Precision::F32)).collect()
}

fn assemble(head: &TensorHead, chunks: &[Chunk], expected: usize) -> Result<Assembly, WireError> {
    let mut assembly = Assembly::new(head, expected, Precision::F32, Inspect::Values, &Buffers::default())?;
    chunks.iter().try_for_each(|chunk| assembly.push(chunk, &SharedMemory::default()))?;
    Ok(assembly)
}

fn data(chunk: &Chunk) -> &[u8] {
    match &chunk.place {
        Some(Place::Data(data)) => &data[..],
        _ => panic!("the bytes are not in the chunk"),
    }
}

#[test]
fn values_survive_the_wire_bit_for_bit() {
    for n in [1, 1000, CHUNK_VALUES, CHUNK_VALUES + 1] {
        let values: Vec<f32> = (0..n).map(|i| f32::from_bits((i as u32).wrapping_mul(40_503))).collect();
        let chunks = chunks(&values);
        assert!(chunks.iter().all(|c| data(c).len() <= CHUNK_BYTES));
        let (back, _) = assemble(&head(&values, Precision::F32), &chunks, n).unwrap().finish();
        assert!(values.iter().zip(back.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

#[test]
fn values_not_finite_are_noticed_and_equal_ones_have_one_checksum() {
    let inspect = |values: &[f32]| {
        let chunks = chunks(values);
        assemble(&head(values, Precision::F32), &chunks, values.len()).unwrap().finish().1
    };
    let mut values = vec![1.0; CHUNK_VALUES + 3];
    let good = inspect(&values);
    assert!(good.is_finite() && good == inspect(&values));
    for at in [0, CHUNK_VALUES + 2] {
        values.fill(1.0);
        values[at] = f32::NAN;
        let bad = inspect(&values);
        values[at] = -1e30;
        assert_eq!(inspect(&values).largest, 1e30);
        assert!(!bad.is_finite() && bad.checksum != good.checksum);
    }
}

#[test]
fn answers_that_differ_in_the_bits_of_a_nan_have_one_checksum() {
    let checksum = |values: &[f32], precision| {
        let chunks = values.chunks(CHUNK_VALUES);
        let chunks = chunks.map(|values| chunk(values, precision));
        let head = head(values, precision);
        let buffers = Buffers::default();
        let mut assembly = Assembly::new(&head, values.len(), precision, Inspect::Values, &buffers).unwrap();
        chunks.for_each(|chunk| assembly.push(&chunk, &SharedMemory::default()).unwrap());
        assembly.finish().1.checksum
    };
    for precision in [Precision::F32, Precision::Bf16] {
        for at in [0, CHUNK_VALUES + 2] {
            // x86, ARM, and one that carries an operand's bits.
            let [x86, arm, carried, infinite] =
                [0xffc0_0000, 0x7fc0_0000, 0x7fc1_0000, 0x7f80_0000].map(|bits| {
                    let mut values = vec![1.0; CHUNK_VALUES + 3];
                    values[at] = f32::from_bits(bits);
                    checksum(&values, precision)
                });
            assert_eq!((x86, carried), (arm, arm));
            assert_ne!(x86, infinite);
        }
    }
}

#[test]
fn bytes_in_shared_memory_arrive_too_and_are_inspected_the_same() {
    let values: Vec<f32> = (0..PLACED_VALUES + CHUNK_VALUES + 10).map(|i| i as f32).collect();
    let memory = Arc::new(Mutex::new(vec![0; 8]));
    let place = |at: u64, bytes: &[u8]| {
        let mut memory = memory.lock().unwrap();
        assert_eq!(memory.len() as u64, at + 8);
        memory.extend_from_slice(bytes);
        Some(at + 8)
    };
    let chunks: Vec<Chunk> = super::chunks(
        values.len(),
        |index| place_chunk(&values, index, Precision::F32, place),
        |_| unreachable!("all are placed"),
    )
    .collect();
    assert_eq!(chunks.len(), 2);
    let view = Arc::clone(&memory);
    let shared_memory = SharedMemory::new(Box::new(move |at, bytes| {
        let memory = view.lock().unwrap();
        let from = memory.get(at as usize..).unwrap_or_default();
        bytes.copy_from_slice(from.get(..bytes.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }));
    let arrive = || {
        let mut assembly = Assembly::new(
            &head(&values, Precision::F32),
            values.len(),
            Precision::F32,
            Inspect::Values,
            &Buffers::default(),
        )?;
        chunks.iter().try_for_each(|chunk| assembly.push(chunk, &shared_memory)).map(|()| assembly)
    };
    let whole = arrive().unwrap();
    assert!(whole.is_from_shared_memory());
    let (arrived, inspection) = whole.finish();
    assert_eq!(*arrived, *values);
    let carried = self::chunks(&values);
    let sent = assemble(&head(&values, Precision::F32), &carried, values.len()).unwrap();
    assert_eq!(sent.finish().1, inspection, "a worker is compared with one on another machine");
    memory.lock().unwrap()[4 * CHUNK_BYTES + 9] ^= 1;
    assert_ne!(arrive().unwrap().finish().1.checksum, inspection.checksum, "an audit sees it");
    memory.lock().unwrap().truncate(4 * CHUNK_BYTES + 9);
    assert!(matches!(arrive(), Err(WireError::Memory { at: PLACED_BYTES })));
    assert!(matches!(
        assemble(&head(&values, Precision::F32), &chunks, values.len()),
        Err(WireError::Memory { at: 0 })
    ));
}

#[test]
fn bf16_takes_half_the_bytes_and_must_be_agreed_on() {
    let n = CHUNK_VALUES + 3;
    let mut values: Vec<f32> = (0..n).map(|i| i as f32 * 0.1).collect();
    Precision::Bf16.round(&mut values);
    let chunks: Vec<Chunk> = (0..2).map(|index| chunk(part(&values, index), Precision::Bf16)).collect();
    assert_eq!(chunks.iter().map(|chunk| data(chunk).len()).sum::<usize>(), 2 * n);
    let head = head(&values, Precision::Bf16);
    let mut assembly =
        Assembly::new(&head, n, Precision::Bf16, Inspect::Values, &Buffers::default()).unwrap();
    chunks.iter().try_for_each(|chunk| assembly.push(chunk, &SharedMemory::default())).unwrap();
    assert_eq!(*assembly.finish().0, *values);
    let expected = Precision::F32;
    let got = Precision::Bf16;
    assert_eq!(assemble(&head, &chunks, n).unwrap_err(), WireError::Dtype { expected, got });
}

#[test]
fn wrong_lengths_and_changed_bytes_are_refused() {
    let head = head(&[1.0, 2.0, 3.0], Precision::F32);
    let mut chunk = chunk(&[1.0, 2.0, 3.0], Precision::F32);
    assert_eq!(assemble(&head, &[], 4).unwrap_err(), WireError::Elements { expected: 4, got: 3 });
    let refusal = |chunks: &[Chunk]| assemble(&head, chunks, 3).unwrap_err();
    for length in [0, 7, 8, 16] {
        let other = Chunk { place: Some(Place::Data(vec![0; length].into())), crc32: 0 };
        assert!(matches!(refusal(&[other]), WireError::Chunk { at: 0, expected: 12, .. }));
    }
    chunk.crc32 ^= 1;
    assert!(matches!(refusal(&[chunk]), WireError::Checksum { at: 0, .. }));
}
