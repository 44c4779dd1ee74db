use super::*;
use crate::engine::op::testing::noise;

/// The definition, one element at a time; `a` is `[m, k]` and `b` is `[k, n]`, both row-major.
fn defined(old: &[f32], a: &[f32], b: &[f32], [m, k, n]: [usize; 3], into: Into) -> Vec<f32> {
    let length = k.div_ceil(k.div_ceil(CHUNK_MAX));
    let mut product = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let mut sum = (into == Into::Add).then(|| old[i * n + j]);
            for start in (0..k).step_by(length) {
                let places = start..k.min(start + length);
                let chunk = places.fold(0.0f32, |acc, p| a[i * k + p].mul_add(b[p * n + j], acc));
                sum = Some(sum.map_or(chunk, |sum| sum + chunk));
            }
            product.push(sum.expect("k is not 0"));
        }
    }
    product
}

/// `matrix [rows, columns]` as `[columns, rows]`.
fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|at| matrix[at % rows * columns + at / rows]).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Compares the product with its definition, in all layouts and both ways into the destination.
fn check(a: &[f32], b: &[f32], sizes @ [m, k, n]: [usize; 3]) {
    let old = noise(3, m * n);
    let (a_other, b_other) = (transpose(a, m, k), transpose(b, k, n));
    let lefts = [View::new(a, m, k), View::new(&a_other, k, m).transposed()];
    let rights = [View::new(b, k, n), View::new(&b_other, n, k).transposed()];
    for into in [Into::Replace, Into::Add] {
        let want = bits(&defined(&old, a, b, sizes, into));
        for (at, left) in lefts.iter().enumerate() {
            for (bt, right) in rights.iter().enumerate() {
                let mut got = old.clone();
                matmul(&mut got, *left, *right, into);
                assert!(bits(&got) == want, "{sizes:?}, transposed {at} {bt}, {into:?}");
            }
        }
    }
}

fn check_noise(sizes @ [m, k, n]: [usize; 3]) {
    check(&noise(1, m * k), &noise(2, k * n), sizes);
}

#[test]
fn small_products_have_the_definitions_bits_in_every_layout() {
    for m in [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17] {
        for k in [1, 2, 3, 4, 7, 8, 9, 16, 17] {
            for n in [1, 2, 3, 5, 8, 9, 15, 16, 17] {
                check_noise([m, k, n]);
            }
        }
    }
}

#[test]
fn odd_sizes_of_each_dimension_have_the_definitions_bits() {
    let sizes = [31, 32, 33, 63, 64, 65, 255, 256, 257, 511, 512, 513, 784, 1025, 1600];
    for size in sizes {
        for (one, other) in [(1, 1), (1, 40), (2, 3), (9, 10), (16, 16), (17, 65)] {
            check_noise([one, size, other]);
            check_noise([size, one, other]);
            check_noise([one, other, size]);
            check_noise([other, size, one]);
        }
    }
    check_noise([129, 1537, 130]);
}

#[test]
fn zeros_and_tiny_numbers_keep_their_signs() {
    // Products that underflow to -0, and sums of zeros of both signs.
    let tiny = [1e-30, -1e-30, 0.0, -0.0, 1.0, -1.0];
    for sizes @ [m, k, n] in [[1, 1, 1], [2, 2, 2], [3, 1, 5], [1, 3, 2], [9, 2, 10], [4, 600, 3]] {
        let pick = |count: usize, step: usize| (0..count).map(|at| tiny[at * step % 6]).collect::<Vec<f32>>();
        check(&pick(m * k, 1), &pick(k * n, 5), sizes);
        check(&pick(m * k, 5), &pick(k * n, 1), sizes);
    }
}

#[test]
fn an_empty_inner_size_gives_zeros() {
    let mut product = vec![1.0; 6];
    matmul(&mut product, View::new(&[], 2, 0), View::new(&[], 0, 3), Into::Replace);
    assert_eq!(product, [0.0; 6]);
}

#[test]
#[should_panic(expected = "a 3 x 4 matrix")]
fn a_view_larger_than_its_slice_is_refused() {
    let _ = View::new(&[0.0; 11], 3, 4);
}
